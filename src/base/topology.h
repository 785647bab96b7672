// The processors that this process may use, and their NUMA nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace glimmer {

// A hardware thread.
struct Processor {
  int number = 0;  // the operating system's
  int core = 0;    // counted over the machine; those of one core share it
  int node = 0;    // index in Topology::memory_nodes
};

// NUMA nodes that have a processor among ours; usually one.
struct Topology {
  std::vector<Processor> processors;  // node by node, core by core
  std::vector<int> memory_nodes;      // the operating system's numbers
  bool is_lent = false;               // a CPU quota lets this process have less than these: others run on them too

  int nodes() const { return static_cast<int>(memory_nodes.size()); }
};

// Of this machine, as far as this process's affinity mask reaches.
Topology process_topology();
// Hardware threads this process may use (its affinity mask and its cgroup's CPU quota).
int available_threads();
// Of a machine as hwloc describes one: "numa:2 core:4 pu:1". Throws kUsage.
Topology synthetic_topology(const std::string& description);

// Where a thread of a pool runs.
struct ThreadPlace {
  int node = 0;                 // index, near which it is
  std::vector<int> processors;  // by number; empty: wherever the system puts it
};

// Distributes threads over nodes in blocks, in proportion to their processors. If there are as many threads as
// processors or cores, each is pinned to one; with fewer, on several nodes, each is pinned to its node. Otherwise
// threads are not pinned, since other programs may run beside them.
std::vector<ThreadPlace> place_threads(const Topology& topology, int threads);

// Distributes the panels of a matrix over nodes: node i gets panels [result[i], result[i + 1]), in multiples of 16, the
// panels of an output block (ops/cpu/linear.h).
std::vector<int64_t> share_panels(int64_t panels, int nodes);

// Requests that untouched pages of [data, data + size_bytes) be allocated on that node. If the system refuses, they may
// be anywhere.
void prefer_node(const Topology& topology, int node, void* data, size_t size_bytes);

}  // namespace glimmer
