// Memory of the machine, and of this process.
#pragma once

#include <cstdint>

namespace glimmer {

struct MemoryInfo {
  int64_t total_bytes = 0;      // of the machine, or what the process's control group may have if that is less
  int64_t available_bytes = 0;  // of it, without swapping; 0 if the system does not say
};
MemoryInfo memory_info();

int64_t resident_bytes();  // now

// Peak resident memory, leaving out paused spans of time. Where the system cannot reset the peak
// (/proc/self/clear_refs), the resident memory at the ends of spans is used instead of the peak within them.
class PeakMemory {
 public:
  void pause();                                // what is allocated from here on does not count
  void resume(int64_t still_there_bytes = 0);  // it has been freed, but for this many bytes that do not count either
  int64_t bytes();

 private:
  int64_t most_bytes_ = 0;
  int64_t left_out_bytes_ = 0;
  bool from_system_ = true;  // the system's own peak covers nothing that was left out
  bool paused_ = false;
};

}  // namespace glimmer
