// Which processors this process may use, and which memory is near to which of them.
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

// Memory nodes (NUMA) that have a processor among ours; mostly one.
struct Topology {
  std::vector<Processor> processors;  // node by node, core by core
  std::vector<int> memory_nodes;      // the operating system's numbers

  int nodes() const { return static_cast<int>(memory_nodes.size()); }
};

// Of this machine, as far as this process's affinity mask reaches.
Topology process_topology();
// Of a machine as hwloc describes one: "numa:2 core:4 pu:1". Throws kUsage.
Topology synthetic_topology(const std::string& description);

// Where a thread of a pool runs.
struct ThreadPlace {
  int node = 0;                 // index, near which it is
  std::vector<int> processors;  // by number; empty: wherever the system puts it
};

// Threads lie block by block on the nodes, in proportion to their processors. As many threads as there are processors
// or cores get one each; on several nodes fewer threads keep to their node; else they are free, since other programs
// may run beside them. So are more threads than processors.
std::vector<ThreadPlace> place_threads(const Topology& topology, int threads);

// How panels of a matrix are shared among nodes: node i has panels [result[i], result[i + 1]), in multiples of 16 as
// tasks take them.
std::vector<int64_t> share_panels(int64_t panels, int nodes);

// Asks for pages of [data, data + size_bytes) that were never written to be near that node. Where the system refuses,
// memory is as good as any.
void prefer_node(const Topology& topology, int node, void* data, size_t size_bytes);

}  // namespace glimmer
