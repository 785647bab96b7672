// Measures this machine's memory bandwidth and peak multiply throughput, for bench and plan to compare with.
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

// Samples spread over time, since other programs may use the machine too. The buffer that they read is 1 GiB, or a
// quarter of the available memory if that is less. It is kept between samples: freeing and reallocating it slows down
// what runs in the next seconds by 8 to 10 % (docs/perf.md).
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

// The units whose multiply throughput is measured: "AMX", "AVX-512 VNNI", ...
std::string_view bf16_unit();
std::string_view int8_unit();

}  // namespace glimmer
