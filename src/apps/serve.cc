// glimmer serve: an HTTP server compatible with the OpenAI and Anthropic APIs.
#include <chrono>
#include <filesystem>
#include <set>

#include "apps/command.h"
#include "apps/loading.h"
#include "apps/options.h"
#include "apps/serve_flags.h"
#include "apps/shutdown.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "engine/engine.h"
#include "serve/background.h"
#include "serve/served_model.h"
#include "serve/service.h"
#include "session/model_files.h"

namespace glimmer::apps {
namespace {

namespace fs = std::filesystem;

struct EngineFlags {
  EngineOptions options;
  std::optional<double> kv_memory_gb;
  std::optional<std::string> kv_dir;
  std::optional<double> kv_disk_gb;
  bool no_prefix_cache = false;

  void add(Flags& flags);
  EngineOptions resolve(const ModelSource& source, Precision precision) const;  // throws kUsage
};

// Limits of one request.
struct RequestLimitFlags {
  serve::ApiLimits limits;
  std::string images = "note";

  void add(Flags& flags);
  void resolve();  // throws kUsage
};

struct ServeOptions {
  ModelFlags model;
  RuntimeFlags runtime;
  EngineFlags engine;
  RequestLimitFlags limits;
  ServeFlags serve;
  std::optional<std::string> name;
  bool log_prompts = false;
  bool separate_keys = false;
  bool quiet = false;
};

void EngineFlags::add(Flags& flags) {
  flags.group("Batches and memory")
      .add("--max-sequences", options.max_sequences, "N", "Sequences generated concurrently (default: 64)")
      .add("--max-waiting", options.max_waiting, "N", "Queue length; further requests get 429 (default: 256)")
      .add("--chunk", options.chunk_tokens, "TOKENS",
           "Prompt tokens prefilled per step while others generate (default: 512)")
      .add("--kv-memory", kv_memory_gb, "GB", "Memory for the KV cache (default: half of what is available)")
      .add("--kv-dir", kv_dir, "FOLDER", "Spill evicted KV pages to this folder; they survive a restart")
      .add("--kv-disk", kv_disk_gb, "GB", "Disk quota of --kv-dir (default: 16)")
      .add_switch("--no-prefix-cache", no_prefix_cache, "Prefill every prompt from its first token");
}

void RequestLimitFlags::add(Flags& flags) {
  flags.group("Limits per request")
      .add("--max-n", limits.max_n, "N", "Answers per prompt: the field n (default: 16)")
      .add("--max-prompts", limits.max_prompts, "N", "Prompts in a completion request, times n (default: 256)")
      .add("--max-values", limits.max_values, "N", "JSON values in a request body (default: 1048576)")
      .add("--max-logprobs", limits.max_logprobs, "N", "Logprobs in an answer without streaming (default: 524288)")
      .add("--max-messages", limits.max_messages, "N", "Messages in a conversation (default: 16384)")
      .add("--max-tools", limits.max_tools, "N", "Tool declarations (default: 512)")
      .add("--max-schema", limits.max_schema_bytes, "BYTES", "Parameter schema of each tool (default: 262144)")
      .add("--max-stop", limits.max_stop_strings, "N", "Stop strings (default: 16)")
      .add("--max-stop-bytes", limits.max_stop_bytes, "BYTES", "Length of each stop string (default: 1024)")
      .add("--images", images, "NAME",
           "Images, audio and files in messages: note (default) puts a short text in their place, refuse returns 400");
}

void RequestLimitFlags::resolve() {
  const std::pair<const char*, int64_t> all[] = {{"--max-n", limits.max_n},
                                                 {"--max-prompts", limits.max_prompts},
                                                 {"--max-values", limits.max_values},
                                                 {"--max-logprobs", limits.max_logprobs},
                                                 {"--max-messages", limits.max_messages},
                                                 {"--max-tools", limits.max_tools},
                                                 {"--max-schema", limits.max_schema_bytes},
                                                 {"--max-stop", limits.max_stop_strings},
                                                 {"--max-stop-bytes", limits.max_stop_bytes}};
  for (const auto& [flag, value] : all) {
    if (value < 1) fail(ErrorCode::kUsage, "{} is {}, but must be at least 1", flag, value);
  }
  if (images != "note" && images != "refuse") {
    fail(ErrorCode::kUsage, "--images is '{}', but must be note or refuse", images);
  }
  limits.media = images == "note" ? serve::MediaPolicy::kNote : serve::MediaPolicy::kRefuse;
}

int64_t bytes_of(double gigabytes, const char* flag) {
  if (!(gigabytes > 0 && gigabytes <= 1e6)) fail(ErrorCode::kUsage, "{} is {}, but must be above 0", flag, gigabytes);
  return static_cast<int64_t>(gigabytes * 1e9);
}

// Identifies KV pages of this model and precision in a --kv-dir: its configuration, its files, the precision.
std::string fingerprint(const ModelSource& source, Precision precision) {
  std::string text = source.side_file("config.json").value_or("");
  std::set<std::string> files;
  for (const SourceTensor& tensor : source.tensors()) files.emplace(tensor.file);
  for (const std::string& file : files) {
    std::error_code error;
    const auto size = fs::file_size(file, error);
    const auto changed = fs::last_write_time(file, error).time_since_epoch().count();
    text += fmt::format("|{}|{}|{}", fs::path(file).filename().string(), size, changed);
  }
  return fmt::format("{}|{}", text, precision_name(precision));
}

EngineOptions EngineFlags::resolve(const ModelSource& source, Precision precision) const {
  EngineOptions resolved = options;
  if (kv_memory_gb) resolved.kv_bytes = bytes_of(*kv_memory_gb, "--kv-memory");
  if (kv_disk_gb && !kv_dir) fail(ErrorCode::kUsage, "--kv-disk needs --kv-dir");
  if (kv_dir) {
    if (no_prefix_cache) fail(ErrorCode::kUsage, "--kv-dir and --no-prefix-cache exclude each other");
    resolved.kv_dir = *kv_dir;
    resolved.kv_fingerprint = fingerprint(source, precision);
  }
  if (kv_disk_gb) resolved.kv_dir_bytes = bytes_of(*kv_disk_gb, "--kv-disk");
  resolved.prefix_cache = !no_prefix_cache;
  return resolved;
}

void add_flags(Flags& flags, ServeOptions& options) {
  options.model.add(flags);
  flags.add("--name", options.name, "NAME", "Model name shown by the APIs (default: name of its folder or file)");
  options.serve.add(flags);
  flags.add_switch("--log-prompts", options.log_prompts, "Log prompts and answers too; by default no log holds them")
      .add_switch("-q,--quiet", options.quiet, "Do not report loading");
  options.limits.add(flags);
  options.engine.add(flags);
  flags.add_switch("--separate-keys", options.separate_keys, "Do not share the prefix cache between API keys");
  options.runtime.add(flags);
  options.runtime.add_precision(flags, Precision::kFast);
  flags.examples(
      "  glimmer serve\n"
      "  glimmer serve -m ~/models/GLM-4.7-Flash --kv-memory 20 --kv-dir ~/.cache/glimmer\n"
      "  glimmer serve --host 0.0.0.0 --api-key-file keys.txt --tls-cert cert.pem --tls-key key.pem");
}

std::string model_name(const ServeOptions& options, const ModelFiles& files) {
  if (options.name) {
    if (options.name->empty()) fail(ErrorCode::kUsage, "--name is empty");
    return *options.name;
  }
  std::error_code error;
  const fs::path path = fs::weakly_canonical(files.source->path(), error);
  const std::string name = fs::is_directory(path, error) ? path.filename().string() : path.stem().string();
  return name.empty() ? files.config.model_type : name;
}

ChatModel chat_or_text_model(ModelFiles& files) {
  require_tokenizer(files.tokenizer, files.files.model);
  if (ChatTemplate::exists(files.files)) return chat_model(files);
  tell("glimmer: {}: there is no chat template: only /v1/completions and the text endpoints are available\n",
       files.files.model);
  return text_model(files);
}

// Everything about the model except its weights, so that errors show before those are loaded.
serve::ServedModel::Parts model_parts(const ServeOptions& options, ModelFiles& files) {
  if (!options.quiet) tell("glimmer: default sampling: {}\n", files.sampling.describe());
  std::vector<int32_t> stop_ids = files.stop_ids();
  return {
      .id = model_name(options, files),
      .chat = chat_or_text_model(files),
      .sampling = files.sampling,
      .stop_ids = std::move(stop_ids),
      .vocab_size = files.config.vocab_size,
      .created = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                     .count()};
}

// Stops engine and network in the right order, also after an exception.
struct Ending {
  Engine& engine;
  serve::HttpServer& http;
  ~Ending() {
    engine.stop();
    http.stop();
  }
};

}  // namespace

int serve_command(Arguments arguments) {
  ServeOptions options;
  Flags flags("serve", "Serves a model over HTTP, compatible with the OpenAI and Anthropic APIs (docs/serve.md).");
  add_flags(flags, options);
  if (!flags.parse(arguments)) return 0;
  options.serve.resolve();
  options.limits.resolve();
  ignore_broken_pipes();
  serve::RequestLog log(serve::log_format_by_name(options.serve.log_format));

  // Errors are found before the weights are loaded. The port is opened first, so that /health answers, and a second
  // server does not load its model in vain.
  ModelFiles files = open_model(options.model.folder_or_file());
  serve::ServedModel::Parts parts = model_parts(options, files);
  const Precision precision = options.runtime.context_options().precision;
  const EngineOptions engine_options = options.engine.resolve(*files.source, precision);
  serve::Site site(options.serve.site_options(), serve::routes(), log);
  serve::HttpServer http(options.serve.http, site);
  site.watch(http);

  Context context(options.runtime.context_options());
  std::optional<InterruptGuard> interrupt(std::in_place);
  const Model model =
      load_model(files.source, context, options.quiet ? LoadReport::kQuiet : LoadReport::kShown, &*interrupt);
  interrupt.reset();
  const ShutdownSignals signals;
  Engine engine(model, context, engine_options);
  parts.max_context_tokens = engine.max_context_tokens();
  const serve::ServedModel served(std::move(parts));
  serve::Background background;
  serve::Service service{.engine = engine,
                         .model = served,
                         .limits = options.limits.limits,
                         .log_prompts = options.log_prompts,
                         .separate_keys = options.separate_keys,
                         .background = &background};
  const Ending ending{engine, http};
  site.open(service);
  announce(fmt::format("listening on {}\n", http.url()));
  serve_until_signal({.http = http,
                      .site = site,
                      .log = log,
                      .drain_timeout_s = *options.serve.drain_timeout_s,
                      .refuse_work = [&engine] { engine.drain(); },
                      .end_work = [&engine] { engine.stop(); }});
  return 0;
}

}  // namespace glimmer::apps
