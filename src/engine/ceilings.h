// The ceilings of this machine, measured: what bench and plan hold speeds against.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor/buffer.h"

namespace glimmer {

// Of some measurements.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};
Spread spread_of(std::vector<double> values);  // zeros of none

// A measurement takes about a second.
struct CeilingSample {
  double read_gb_s = 0;  // of the number of streams that read fastest
  int read_streams = 0;  // of each thread
  double bf16_tflop_s = 0;
  double int8_top_s = 0;
};

// Samples taken over a time, since other programs may use the machine too. What they read is 1 GiB of memory, or a
// quarter of what is available if that is less. It is kept between them: memory that comes and goes keeps the system
// busy for seconds, and what is measured meanwhile is slower for it.
class Ceilings {
 public:
  explicit Ceilings(int threads);
  void sample();
  void release_memory();  // after the last sample
  int64_t memory_bytes() const { return static_cast<int64_t>(memory_.size_bytes()); }

  int threads() const { return threads_; }
  Spread read_gb_s() const;
  Spread bf16_tflop_s() const;
  Spread int8_top_s() const;
  int read_streams() const;  // of the fastest sample

 private:
  void measure_reading(CeilingSample& sample) const;

  int threads_;
  Buffer memory_;
  int64_t share_bytes_ = 0;  // of a thread
  std::vector<CeilingSample> samples_;
};

// What the rates of multiplying are of: "AMX", "AVX-512 VNNI", ...
std::string_view bf16_unit();
std::string_view int8_unit();

}  // namespace glimmer
