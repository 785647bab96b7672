// The ceilings of this machine, measured: what bench and plan hold speeds against.
#pragma once

#include <string_view>
#include <vector>

namespace glimmer {

// Of some measurements.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};
Spread spread_of(std::vector<double> values);  // zeros of none

// One measurement takes about a second and 1 GiB of memory, or a quarter of what is available if that is less; the
// memory is free again afterwards.
struct CeilingSample {
  double read_gb_s = 0;  // of the number of streams that read fastest
  int read_streams = 0;  // of each thread
  double bf16_tflop_s = 0;
  double int8_top_s = 0;
};
CeilingSample measure_ceilings(int threads);

// Samples taken over a time, since other programs may use the machine too.
class Ceilings {
 public:
  explicit Ceilings(int threads) : threads_(threads) {}
  void sample() { samples_.push_back(measure_ceilings(threads_)); }

  int threads() const { return threads_; }
  Spread read_gb_s() const;
  Spread bf16_tflop_s() const;
  Spread int8_top_s() const;
  int read_streams() const;  // of the fastest sample

 private:
  int threads_;
  std::vector<CeilingSample> samples_;
};

// What the rates of multiplying are of: "AMX", "AVX-512 VNNI", ...
std::string_view bf16_unit();
std::string_view int8_unit();

}  // namespace glimmer
