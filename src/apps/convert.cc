// glimmer convert: a model in one format to a model in another.
#include <fmt/ranges.h>

#include <chrono>
#include <map>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/options.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/quoted_name.h"
#include "convert/convert.h"

namespace glimmer::apps {
namespace {

using Clock = std::chrono::steady_clock;

// "312 MB/s, 2:05 left"
class Rate {
 public:
  std::string note(const convert::ConvertProgress& progress) {
    if (first_bytes_ < 0) first_bytes_ = static_cast<int64_t>(progress.done_bytes);
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    const double bytes = static_cast<double>(progress.done_bytes) - static_cast<double>(first_bytes_);
    if (seconds < 0.2 || bytes <= 0) return "";
    const double rate = bytes / seconds;
    const auto left = static_cast<int64_t>(static_cast<double>(progress.total_bytes - progress.done_bytes) / rate);
    return fmt::format("{}/s, {}:{:02} left", human_bytes(static_cast<int64_t>(rate)), left / 60, left % 60);
  }

 private:
  Clock::time_point start_ = Clock::now();
  int64_t first_bytes_ = -1;
};

convert::Conversion::ProgressCallback progress_on(ProgressBar& bar, Rate& rate, const InterruptGuard& interrupt,
                                                  const char* when_stopped) {
  return [&bar, &rate, &interrupt, when_stopped](const convert::ConvertProgress& progress) {
    if (interrupt.interrupted()) fail(ErrorCode::kCancelled, "{}", when_stopped);
    bar.update(static_cast<int64_t>(progress.done_bytes), static_cast<int64_t>(progress.total_bytes),
               rate.note(progress));
  };
}

std::string plan_text(const convert::Conversion& conversion, bool with_tensors) {
  std::map<std::string, std::pair<int64_t, int64_t>> by_type;  // tensors, values
  for (const convert::ConvertMatrix& matrix : conversion.matrices()) {
    auto& [tensors, values] = by_type[std::string(matrix.type->name)];
    ++tensors;
    values += matrix.rows() * matrix.columns();
  }
  std::string text = fmt::format(
      "format            {}\nsize              {} in {} file{}, {:.2f} bits a weight\n", conversion.target().format,
      human_bytes(static_cast<int64_t>(conversion.output_bytes())), conversion.plan().files.size(),
      conversion.plan().files.size() == 1 ? "" : "s", conversion.bits_per_weight());
  for (const auto& [type, counts] : by_type) {
    text += fmt::format("  {:<16}{} tensors, {} weights\n", type, counts.first, human_count(counts.second));
  }
  std::vector<std::string> names;
  for (const auto& [name, content] : conversion.plan().side_files) names.push_back(name);
  if (!names.empty()) text += fmt::format("with              {}\n", fmt::join(names, ", "));
  for (const std::string& note : conversion.notes()) text += fmt::format("note              {}\n", note);
  if (!with_tensors) return text;
  for (const convert::ConvertMatrix& matrix : conversion.matrices()) {
    text += fmt::format("{:<10} {:<18} {}\n", matrix.type->name, matrix.shape.to_string(), matrix.name);
  }
  return text;
}

}  // namespace

int convert_command(Arguments arguments) {
  std::optional<std::string> source_path;
  std::optional<std::string> destination;
  convert::ConvertOptions options;
  std::optional<std::string> imatrix;
  std::string out_of_range = "error";
  bool dry_run = false;
  bool tensors = false;
  bool verify = false;
  RuntimeFlags runtime;
  Flags flags("convert", "Converts a model to another format or quantisation type.");
  flags.add("SRC", source_path, "", "A model folder, or a .gguf, .m or .safetensors file")
      .add("DST", destination, "", "The file or folder to write")
      .group("What to write")
      .add("--format", options.format, "NAME", "hf, gguf, mlx or dllama (default: by DST's extension, else hf)")
      .add("--type", options.recipe.type, "TYPE",
           "Type of most matrices: f32 f16 bf16; gguf: q8_0 q6_k q5_k q4_k q3_k q2_k q4_0 ...; mlx: mlx8 mlx6 mlx5 "
           "mlx4 mlx3 mlx2; dllama: q40 q80; hf: fp8 nf4 (default: unchanged, or bf16 where the format cannot hold it)")
      .add("--recipe", options.recipe.recipe, "NAME", convert::recipe_help().c_str())
      .add("--tensor-type", options.recipe.tensor_types, "REGEX=TYPE",
           "Type of the matrices whose name matches; may be given more than once, the last match wins")
      .add("--imatrix", imatrix, "FILE", "Importance matrix, from `glimmer imatrix`")
      .group("How")
      .add_switch("--dry-run", dry_run, "Print the plan and sizes without writing anything")
      .add_switch("--tensors", tensors, "With --dry-run: list every tensor")
      .add_switch("--resume", options.resume, "Resume an interrupted run")
      .add_switch("--force", options.force,
                  "Overwrite DST if it is a model; without --resume, also discard an interrupted run")
      .add("--out-of-range", out_of_range, "WHAT",
           "Weights beyond the range of their type: error (default), or saturate (clamp, with a warning)")
      .add_switch("--verify", verify, "Read the result back and compare every value with the source")
      .add("-t,--threads", runtime.threads, "N", "Threads (default: all available CPUs)")
      .examples(
          "  glimmer convert ~/models/GLM-4.7-Flash flash-q4_k.gguf --type q4_k\n"
          "  glimmer convert flash-q4_k.gguf flash-bf16 --format hf --type bf16\n"
          "  glimmer convert ~/models/GLM-4.7-Flash flash.gguf --type q4_0 --tensor-type 'lm_head=q8_0' --dry-run");
  if (!flags.parse(arguments)) return 0;
  if (!source_path || !destination) fail(ErrorCode::kUsage, "convert needs SRC and DST; see glimmer convert --help");
  if (imatrix) options.imatrix = *imatrix;
  if (out_of_range != "error" && out_of_range != "saturate") {
    fail(ErrorCode::kUsage, "--out-of-range: expected error or saturate, found {}", quoted_name(out_of_range));
  }
  if (out_of_range == "saturate") options.out_of_range = convert::OutOfRange::kSaturate;
  const Context::Options context = runtime.context_options();
  convert::Conversion conversion(ModelSource::open(*source_path), *destination, options);
  if (dry_run) {
    write_output(plan_text(conversion, tensors));
    return 0;
  }
  const InterruptGuard interrupt;
  ThreadPool pool(context.threads > 0 ? context.threads : available_threads());
  for (const std::string& note : conversion.notes()) tell("glimmer: note: {}\n", note);
  const auto start = Clock::now();
  {
    ProgressBar bar("writing " + *destination, stderr_is_terminal());
    Rate rate;
    conversion.write(pool, progress_on(bar, rate, interrupt,
                                       options.force ? "interrupted; give --resume --force to go on"
                                                     : "interrupted; give --resume to go on"));
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const auto bytes = static_cast<int64_t>(conversion.output_bytes());
  tell("glimmer: wrote {} ({}, {:.2f} bits a weight) in {:.1f} s, {}/s\n", *destination, human_bytes(bytes),
       conversion.bits_per_weight(), seconds, human_bytes(static_cast<int64_t>(static_cast<double>(bytes) / seconds)));
  if (verify) {
    ProgressBar bar("verifying " + *destination, stderr_is_terminal());
    Rate rate;
    conversion.verify(pool, progress_on(bar, rate, interrupt, "interrupted while verifying; the model is written"));
    tell("glimmer: verified: every value matches the source\n");
  }
  return 0;
}

}  // namespace glimmer::apps
