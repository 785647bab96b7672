#include "base/memory_info.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace glimmer {
namespace {

// "VmHWM:   123 kB" of a /proc file, in bytes; 0 if the line is not there.
int64_t kib_field(const char* file, const std::string& field) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(field)) return std::strtoll(line.c_str() + field.size(), nullptr, 10) * 1024;
  }
  return 0;
}

// A number of a control group (version 2), or `fallback` where there is no limit.
int64_t group_value(const char* file, int64_t fallback) {
  std::ifstream in(file);
  int64_t value = 0;
  return in >> value ? value : fallback;
}

}  // namespace

MemoryInfo memory_info() {
  constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
  MemoryInfo info{.total_bytes = kib_field("/proc/meminfo", "MemTotal:"),
                  .available_bytes = kib_field("/proc/meminfo", "MemAvailable:")};
  const int64_t limit = group_value("/sys/fs/cgroup/memory.max", kUnlimited);
  if (limit != kUnlimited) {
    const int64_t used = group_value("/sys/fs/cgroup/memory.current", 0);
    info.total_bytes = std::min(info.total_bytes, limit);
    info.available_bytes = std::min(info.available_bytes, std::max<int64_t>(0, limit - used));
  }
  return info;
}

int64_t resident_bytes() { return kib_field("/proc/self/status", "VmRSS:"); }

void PeakMemory::pause() {
  bytes();
  paused_ = true;
}

void PeakMemory::resume(int64_t still_there_bytes) {
  paused_ = false;
  left_out_bytes_ = still_there_bytes;
  std::ofstream reset("/proc/self/clear_refs");
  from_system_ = static_cast<bool>(reset << "5" << std::flush);  // 5: the peak becomes what is resident now
}

int64_t PeakMemory::bytes() {
  if (!paused_) {
    const int64_t now = from_system_ ? kib_field("/proc/self/status", "VmHWM:") : resident_bytes();
    most_bytes_ = std::max(most_bytes_, now - left_out_bytes_);
  }
  return most_bytes_;
}

}  // namespace glimmer
