#include "apps/options.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <random>

#include "base/error.h"
#include "session/local_model.h"

namespace glimmer::apps {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

fs::path demo_folder() {
  if (const char* given = std::getenv("GLIMMER_DEMO_MODEL"); given != nullptr && *given != '\0') {
    if (is_folder(given)) return given;
    fail(ErrorCode::kNotFound, "{}: there is no such folder, but $GLIMMER_DEMO_MODEL names it", given);
  }
  std::vector<fs::path> places;
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  if (!error) places.push_back(binary.parent_path().parent_path().parent_path() / "models" / "demo");
  places.push_back(fs::current_path(error) / "models" / "demo");
  std::string looked;
  for (const fs::path& place : places) {
    if (is_folder(place)) return place;
    looked.append(looked.empty() ? "" : ", ").append(place.string());
  }
  fail(ErrorCode::kNotFound, "the demo model is not there (looked for {}); name a model folder with -m", looked);
}

// "--top-p"
std::string flag_of(const SamplingOption& option) {
  std::string flag = "--" + std::string(option.name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

uint64_t seed_from_system() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

std::pair<int32_t, double> parse_bias(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) fail(ErrorCode::kUsage, "--logit-bias: '{}' is not ID=VALUE", text);
  const std::vector<int32_t> ids = parse_ids(text.substr(0, equals), "--logit-bias");
  if (ids.size() != 1) fail(ErrorCode::kUsage, "--logit-bias: '{}' is not ID=VALUE", text);
  return {ids[0], parse_double(text.substr(equals + 1), "--logit-bias")};
}

}  // namespace

void ModelFlags::add(Flags& flags) {
  flags.add("-m,--model", model, "PATH",
            "Model as downloaded: a folder, or a .gguf, .m or .safetensors file (default: the bundled demo)");
}

fs::path ModelFlags::folder_or_file() const {
  if (!model) return demo_folder();
  if (model->empty()) fail(ErrorCode::kUsage, "--model: the name is empty");
  std::error_code ignored;
  if (!fs::exists(*model, ignored)) fail(ErrorCode::kNotFound, "{}: there is no such file or folder", *model);
  return *model;
}

void RuntimeFlags::add(Flags& flags) {
  flags.group("Machine")
      .add("--backend", backend, "NAME",
           "Kernels to use, e.g. ref (default: the fastest supported; see inspect --kernels)")
      .add("-t,--threads", threads, "N", "Compute threads (default: all available CPUs)");
}

void RuntimeFlags::add_precision(Flags& flags, Precision by_default) {
  precision = precision_name(by_default);
  flags.add("--precision", precision, "NAME",
            by_default == Precision::kFast
                ? "fast (default): activations in int8 or bf16 where kernels support it; exact: float32 throughout"
                : "exact (default): float32 throughout; fast: activations in int8 or bf16 where kernels support it");
  flags.add("--kv-type", kv_type, "NAME",
            "KV cache type: f32, bf16, int8 or fp8 (default: bf16; f32 with --precision exact)");
}

Context::Options RuntimeFlags::context_options() const {
  if (threads < 0 || threads > kMaxThreads) {
    fail(ErrorCode::kUsage, "--threads is {}, but must be in [1, {}] (0: all)", threads, kMaxThreads);
  }
  Context::Options options{
      .backend = backend, .threads = static_cast<int>(threads), .precision = precision_by_name(precision)};
  if (kv_type) options.kv_type = kv_type_by_name(*kv_type);
  return options;
}

void SamplingFlags::add(Flags& flags) {
  flags.group("Sampling (defaults: the model's generation_config.json, else its card, else greedy)")
      .add_switch("--greedy", greedy, "Always take the most probable token; same as --temperature 0");
  for (size_t i = 0; i < given.size(); ++i) {
    const SamplingOption& option = sampling_options()[i];
    if (option.is_integer) {
      flags.add(flag_of(option), given[i].integer, option.metavar, option.help);
    } else {
      flags.add(flag_of(option), given[i].number, option.metavar, option.help);
    }
  }
  flags.add("--logit-bias", logit_bias, "ID=X", "Add X to the logit of a token; may be given more than once")
      .add("--seed", seed, "N", "Random seed; the same seed gives the same tokens (default: random)");
}

SamplingParams SamplingFlags::resolve(const SamplingDefaults& defaults, int64_t vocab_size) const {
  SamplingRequest request{.seed = seed};
  for (size_t i = 0; i < given.size(); ++i) {
    const SamplingOption& option = sampling_options()[i];
    if (given[i].number) option.set(request, *given[i].number);
    if (given[i].integer) option.set(request, static_cast<double>(*given[i].integer));
  }
  if (greedy && request.temperature.value_or(0) != 0) {
    fail(ErrorCode::kUsage, "--greedy and --temperature {} exclude each other", *request.temperature);
  }
  if (greedy) request.temperature = 0;
  for (const std::string& text : logit_bias) {
    const auto [id, bias] = parse_bias(text);
    request.logit_bias.insert_or_assign(id, bias);
  }
  const SamplingParams params = resolve_sampling(request, defaults, seed_from_system());
  validate(params, vocab_size);
  return params;
}

void LengthFlags::add(Flags& flags) {
  flags.group("Length")
      .add("-n,--max-tokens", max_tokens, "N", "Generate at most N tokens (default: until the context is full)")
      .add_switch("--ignore-eos", ignore_eos, "Keep generating after an end-of-sequence token")
      .add("--stop", stop, "TEXT",
           "End the answer before this text (not where it comes in reasoning); may be given more than once");
}

void LengthFlags::check() const {
  if (max_tokens && *max_tokens < 0) fail(ErrorCode::kUsage, "--max-tokens is {}, but must be at least 0", *max_tokens);
  for (const std::string& text : stop) {
    if (text.empty()) fail(ErrorCode::kUsage, "--stop: the text is empty");
  }
}

std::vector<int32_t> parse_ids(const std::string& text, const std::string& what) {
  std::vector<int32_t> ids;
  constexpr const char* kSeparators = ", \t\r\n";
  for (size_t begin = text.find_first_not_of(kSeparators); begin != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, begin), text.size());
    const int64_t id = parse_int(text.substr(begin, end - begin), what);
    if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
      fail(ErrorCode::kUsage, "{}: {} must be in [0, {}]", what, id, std::numeric_limits<int32_t>::max());
    }
    ids.push_back(static_cast<int32_t>(id));
    begin = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

}  // namespace glimmer::apps
