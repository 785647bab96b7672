// glimmer compare: finds where two tensor files diverge.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "apps/command.h"
#include "apps/terminal.h"
#include "apps/trace.h"
#include "base/error.h"
#include "base/json.h"
#include "format/safetensors.h"

namespace glimmer::apps {
namespace {

struct Divergence {
  double max_abs = 0;  // the largest |a - b|; infinity where one is NaN and the other not
  double scale = 0;    // the largest |a|
  int64_t at = 0;      // where max_abs is
  double a = 0;        // the values there
  double b = 0;
  double relative() const { return max_abs == 0 ? 0 : max_abs / std::max(scale, 1e-30); }
};

template <typename T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);  // files need not align their tensors
  return value;
}

double element(const TensorInfo& tensor, int64_t index) {
  const std::byte* at = tensor.data.data() + static_cast<size_t>(index) * dtype_size_bytes(tensor.dtype);
  switch (tensor.dtype) {
    case DType::kF64:
      return load<double>(at);
    case DType::kF32:
      return load<float>(at);
    case DType::kF16:
      return f16_to_f32(load<uint16_t>(at));
    case DType::kBF16:
      return bf16_to_f32(load<uint16_t>(at));
    case DType::kF8E4M3:
      return f8e4m3_to_f32(load<uint8_t>(at));
    case DType::kF8E8M0:
      return f8e8m0_to_f32(load<uint8_t>(at));
    case DType::kF8E5M2:
      return f16_to_f32(static_cast<uint16_t>(load<uint8_t>(at) << 8));  // the upper half of a float16
    case DType::kI64:
      return static_cast<double>(load<int64_t>(at));
    case DType::kU64:
      return static_cast<double>(load<uint64_t>(at));
    case DType::kI32:
      return load<int32_t>(at);
    case DType::kU32:
      return load<uint32_t>(at);
    case DType::kI16:
      return load<int16_t>(at);
    case DType::kU16:
      return load<uint16_t>(at);
    case DType::kI8:
      return load<int8_t>(at);
    case DType::kU8:
    case DType::kBool:
      return load<uint8_t>(at);
    default:
      GLIMMER_CHECK(false, "safetensors holds no {}", dtype_name(tensor.dtype));
      return 0;
  }
}

// |a - b|, where equal infinities and two NaN are no difference, and one NaN is an infinite one.
double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  const double difference = std::abs(a - b);
  return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

Divergence diverge(const TensorInfo& a, const TensorInfo& b) {
  Divergence result;
  const int64_t count = a.shape.element_count();
  for (int64_t i = 0; i < count; ++i) {
    const double left = element(a, i);
    const double right = element(b, i);
    if (std::isfinite(left)) result.scale = std::max(result.scale, std::abs(left));
    const double difference = distance(left, right);
    if (difference > result.max_abs) {
      result.max_abs = difference;
      result.at = i;
      result.a = left;
      result.b = right;
    }
  }
  return result;
}

// The extents without leading ones: [1, 5, 64] and [5, 64] hold the same.
std::vector<int64_t> significant_dims(const Shape& shape) {
  const auto dims = shape.dims();
  const auto first = std::find_if(dims.begin(), dims.end(), [](int64_t extent) { return extent != 1; });
  return {first, dims.end()};
}

std::string coordinate(const Shape& shape, int64_t index) {
  if (shape.element_count() == 0) return "[]";
  std::vector<int64_t> place(static_cast<size_t>(shape.rank()));
  for (int i = shape.rank() - 1; i >= 0; --i) {
    place[static_cast<size_t>(i)] = index % shape[i];
    index /= shape[i];
  }
  return fmt::format("[{}]", fmt::join(place, ", "));
}

// Order of execution: as a trace wrote it down, else as the tensors lie in the file.
std::vector<std::string> ordered_names(const SafetensorsFile& file) {
  if (const auto found = file.metadata().find(kTraceOrderKey); found != file.metadata().end()) {
    const Json order = parse_json(found->second, file.path().string() + ": " + kTraceOrderKey);
    if (order.is_array() && std::all_of(order.begin(), order.end(), [](const Json& j) { return j.is_string(); })) {
      return order.get<std::vector<std::string>>();
    }
  }
  std::vector<const TensorInfo*> tensors;
  for (const TensorInfo& tensor : file.tensors()) tensors.push_back(&tensor);
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorInfo* a, const TensorInfo* b) { return a->data.data() < b->data.data(); });
  std::vector<std::string> names;
  for (const TensorInfo* tensor : tensors) names.push_back(tensor->name);
  return names;
}

struct CompareOptions {
  std::string a;
  std::string b;
  double tolerance = 1e-4;
  bool subset = false;
  bool verbose = false;
};

struct CompareResult {
  int64_t compared = 0;
  int64_t diverged = 0;  // values or shape
  int64_t missing = 0;   // in one file only
  std::string first;     // what is to say of the first that diverged
};

std::string describe(const TensorInfo& a, const TensorInfo& b, const Divergence& d) {
  std::string types(dtype_name(a.dtype));
  if (a.dtype != b.dtype) types += fmt::format(" and {}", dtype_name(b.dtype));
  return fmt::format("{} {} {}: max abs error {:.3g}, {:.3g} of the largest value {:.6g}, at {}: {:.9g} and {:.9g}",
                     a.name, types, a.shape.to_string(), d.max_abs, d.relative(), d.scale, coordinate(a.shape, d.at),
                     d.a, d.b);
}

void compare_tensor(const TensorInfo& a, const TensorInfo& b, const CompareOptions& options, CompareResult& result) {
  ++result.compared;
  std::string line;
  bool diverged = true;
  if (significant_dims(a.shape) != significant_dims(b.shape)) {
    line = fmt::format("{}: shape {} and {}", a.name, a.shape.to_string(), b.shape.to_string());
  } else {
    const Divergence divergence = diverge(a, b);
    diverged = divergence.relative() > options.tolerance;
    line = describe(a, b, divergence);
  }
  if (diverged && ++result.diverged == 1) result.first = line;
  if (options.verbose) write_output(fmt::format("{} {}\n", diverged ? "DIVERGES" : "ok      ", line));
}

CompareResult compare_files(const SafetensorsFile& a, const SafetensorsFile& b, const CompareOptions& options) {
  CompareResult result;
  // Whichever file knows the order of execution leads; file A if both or none do.
  const bool b_leads = !a.metadata().contains(kTraceOrderKey) && b.metadata().contains(kTraceOrderKey);
  const auto only_in = [&](const SafetensorsFile& file, const std::string& name) {
    ++result.missing;
    if (!options.subset || options.verbose) write_output(fmt::format("only in {}: {}\n", file.path().string(), name));
  };
  for (const std::string& name : ordered_names(b_leads ? b : a)) {
    const TensorInfo* left = a.find(name);
    const TensorInfo* right = b.find(name);
    if (left != nullptr && right != nullptr) {
      compare_tensor(*left, *right, options, result);
    } else if (left != nullptr || right != nullptr) {
      only_in(left != nullptr ? a : b, name);
    }
  }
  const SafetensorsFile& leader = b_leads ? b : a;
  const SafetensorsFile& follower = b_leads ? a : b;
  for (const TensorInfo& tensor : follower.tensors()) {
    if (leader.find(tensor.name) == nullptr) only_in(follower, tensor.name);
  }
  return result;
}

}  // namespace

int compare_command(Arguments arguments) {
  CompareOptions options;
  std::optional<double> tolerance;
  Flags flags("compare",
              "Finds the first tensor, in order of execution, that differs between two safetensors files: traces of "
              "`logits --trace`, fixtures, weights.\nThe exit status is 1 if any differs.");
  flags.add("A", options.a, "", "Reference file").add("B", options.b, "", "File to check");
  flags
      .add("--tolerance", tolerance, "X",
           "Largest error accepted, as a fraction of the tensor's largest value in A (default: 1e-4; 0: exact)")
      .add_switch("--subset", options.subset, "Ignore tensors that only one file has")
      .add_switch("-v,--verbose", options.verbose, "List all tensors")
      .examples(
          "  glimmer compare golden.safetensors trace.safetensors --subset\n"
          "  glimmer compare ref.safetensors avx2.safetensors --tolerance 1e-5 -v");
  if (!flags.parse(arguments)) return 0;
  if (options.a.empty() || options.b.empty()) fail(ErrorCode::kUsage, "compare needs two files, A and B");
  options.tolerance = tolerance.value_or(options.tolerance);
  if (options.tolerance < 0) fail(ErrorCode::kUsage, "--tolerance is {}, but must be at least 0", options.tolerance);

  const SafetensorsFile a(options.a);
  const SafetensorsFile b(options.b);
  const CompareResult result = compare_files(a, b, options);
  if (!result.first.empty()) write_output("first to diverge: " + result.first + "\n");
  write_output(fmt::format("{} tensors compared, {} diverge beyond {:g}, {} in one file only\n", result.compared,
                           result.diverged, options.tolerance, result.missing));
  const bool differs = result.diverged > 0 || result.compared == 0 || (result.missing > 0 && !options.subset);
  return differs ? 1 : 0;
}

}  // namespace glimmer::apps
