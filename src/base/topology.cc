#include "base/topology.h"

#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>

#include "base/check.h"
#include "base/error.h"

namespace glimmer {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using HwlocTopology = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, DestroyTopology>;

struct FreeBitmap {
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<std::remove_pointer_t<hwloc_bitmap_t>, FreeBitmap>;

HwlocTopology new_topology() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) fail(ErrorCode::kMemory, "cannot look at the processors: out of memory");
  return HwlocTopology(topology);
}

// Null where the system tells nothing.
hwloc_topology_t machine() {
  static const HwlocTopology kMachine = [] {
    HwlocTopology topology = new_topology();
    // Of this machine, not of a file that an environment variable names for other programs.
    hwloc_topology_set_flags(topology.get(), HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM);
    if (hwloc_topology_load(topology.get()) != 0) topology.reset();
    return topology;
  }();
  return kMachine.get();
}

// The cgroup-v2 CPU quota in whole threads, or `unlimited` where there is none.
int cgroup_quota_threads(int unlimited) {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  int64_t period_us = 0;
  if (!(file >> quota >> period_us) || quota == "max" || period_us <= 0) return unlimited;
  int64_t quota_us = 0;
  try {
    quota_us = std::stoll(quota);
  } catch (const std::exception&) {
    return unlimited;
  }
  return std::max<int>(1, static_cast<int>((quota_us + period_us - 1) / period_us));
}

// Index of `value`, added where it is new.
int index_in(std::vector<int>& values, int value) {
  const auto found = std::find(values.begin(), values.end(), value);
  if (found != values.end()) return static_cast<int>(found - values.begin());
  values.push_back(value);
  return static_cast<int>(values.size()) - 1;
}

// The processors of `allowed`, or all if it is null.
Topology describe(hwloc_topology_t topology, hwloc_const_bitmap_t allowed) {
  Topology described;
  hwloc_obj_t node = nullptr;
  while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
    const int count = hwloc_get_nbobjs_inside_cpuset_by_type(topology, node->cpuset, HWLOC_OBJ_PU);
    for (int i = 0; i < count; ++i) {
      hwloc_obj_t pu =
          hwloc_get_obj_inside_cpuset_by_type(topology, node->cpuset, HWLOC_OBJ_PU, static_cast<unsigned>(i));
      const auto number = static_cast<int>(pu->os_index);
      if (allowed != nullptr && hwloc_bitmap_isset(allowed, pu->os_index) == 0) continue;
      const bool known = std::any_of(described.processors.begin(), described.processors.end(),
                                     [&](const Processor& other) { return other.number == number; });
      if (known) continue;  // memory without processors of its own lies beside that of others
      hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, pu);
      described.processors.push_back({.number = number,
                                      .core = static_cast<int>((core != nullptr ? core : pu)->logical_index),
                                      .node = index_in(described.memory_nodes, static_cast<int>(node->os_index))});
    }
  }
  return described;
}

// The first and the last processor of each core lie together in `processors`.
int core_count(const Topology& topology) {
  std::vector<int> cores;
  for (const Processor& processor : topology.processors) index_in(cores, processor.core);
  return static_cast<int>(cores.size());
}

}  // namespace

Topology process_topology() {
  Topology topology;
  if (machine() != nullptr) {
    const Bitmap allowed(hwloc_bitmap_alloc());
    const bool bound = hwloc_get_cpubind(machine(), allowed.get(), HWLOC_CPUBIND_PROCESS) == 0;
    topology = describe(machine(), bound ? allowed.get() : nullptr);
  }
  if (topology.processors.empty()) topology = {.processors = {{}}, .memory_nodes = {0}};
  const auto processors = static_cast<int>(topology.processors.size());
  topology.is_lent = cgroup_quota_threads(processors) < processors;
  return topology;
}

int available_threads() {
  cpu_set_t set;
  int allowed = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof set, &set) == 0) allowed = CPU_COUNT(&set);
  return std::max(1, std::min(allowed, cgroup_quota_threads(allowed)));
}

Topology synthetic_topology(const std::string& description) {
  const HwlocTopology topology = new_topology();
  if (hwloc_topology_set_synthetic(topology.get(), description.c_str()) != 0 ||
      hwloc_topology_load(topology.get()) != 0) {
    fail(ErrorCode::kUsage, "'{}' describes no topology", description);
  }
  return describe(topology.get(), nullptr);
}

std::vector<ThreadPlace> place_threads(const Topology& topology, int threads) {
  const auto processors = static_cast<int>(topology.processors.size());
  std::vector<const Processor*> first_of_core;
  for (const Processor& processor : topology.processors) {
    const bool seen = std::any_of(first_of_core.begin(), first_of_core.end(),
                                  [&](const Processor* other) { return other->core == processor.core; });
    if (!seen) first_of_core.push_back(&processor);
  }
  std::vector<ThreadPlace> places(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    ThreadPlace& place = places[static_cast<size_t>(i)];
    const int at = static_cast<int>(static_cast<int64_t>(i) * processors / threads);
    // Cores may have different numbers of processors.
    const Processor& near = threads == static_cast<int>(first_of_core.size())
                                ? *first_of_core[static_cast<size_t>(i)]
                                : topology.processors[static_cast<size_t>(at)];
    place.node = near.node;
    if (threads > processors) continue;
    const bool one_each = threads == processors;
    const bool one_a_core = threads == core_count(topology);
    const bool may_keep = !topology.is_lent && (one_each || one_a_core);
    if (!may_keep && topology.nodes() == 1) continue;
    for (const Processor& processor : topology.processors) {
      const bool its_own = !may_keep  ? processor.node == near.node
                           : one_each ? processor.number == near.number
                                      : processor.core == near.core;
      if (its_own) place.processors.push_back(processor.number);
    }
  }
  return places;
}

std::vector<int64_t> share_panels(int64_t panels, int nodes) {
  constexpr int64_t kTogether = 16;  // panels of an output block: no block spans two nodes
  std::vector<int64_t> first;
  for (int64_t node = 0; node < nodes; ++node) first.push_back(panels * node / nodes / kTogether * kTogether);
  first.push_back(panels);
  return first;
}

void prefer_node(const Topology& topology, int node, void* data, size_t size_bytes) {
  if (machine() == nullptr || topology.nodes() < 2) return;
  const Bitmap nodes(hwloc_bitmap_alloc());
  hwloc_bitmap_set(nodes.get(), static_cast<unsigned>(topology.memory_nodes[static_cast<size_t>(node)]));
  hwloc_set_area_membind(machine(), data, size_bytes, nodes.get(), HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_BYNODESET);
}

}  // namespace glimmer
