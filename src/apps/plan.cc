// glimmer plan: whether a model fits this machine and how fast it would be, before any download.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "apps/card_model.h"
#include "apps/command.h"
#include "apps/options.h"
#include "apps/terminal.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/memory_info.h"
#include "base/thread_pool.h"
#include "engine/ceilings.h"
#include "engine/plan.h"
#include "model/placement.h"
#include "source/side_files.h"
#include "source/synthetic_source.h"

namespace glimmer::apps {
namespace {

constexpr int kCeilingSamples = 3;
// The types that the table shows beside the requested one.
constexpr std::array<std::string_view, 8> kShownTypes = {"bf16", "q8_0", "q6_k", "q5_k",
                                                         "q4_k", "q4_0", "q3_k", "q2_k"};

struct PlanOptions {
  std::string card;
  ModelFlags model;
  std::optional<std::string> type;
  int64_t context = 8192;
  std::optional<int64_t> layers;
  std::string parallel;
  std::string split;
  int64_t threads = 0;
  bool as_json = false;
};

struct Machine {
  MemoryInfo memory;
  Ceilings ceilings;
};

struct TypePlan {
  const QuantType* type = nullptr;
  CardSize size;
  Plan plan;
};

TypePlan plan_type(const CardModel& model, const QuantType& type, int64_t context, const Machine& machine) {
  TypePlan out{.type = &type, .size = size_in_type(model, type)};
  out.plan = make_plan({.work = workload_of(model.config, out.size.memory, kv_type_of(Precision::kFast)),
                        .weights_bytes = out.size.memory_bytes,
                        .context_tokens = context,
                        .available_bytes = machine.memory.available_bytes,
                        .read_gb_s = machine.ceilings.read_gb_s().median,
                        .bf16_tflop_s = machine.ceilings.bf16_tflop_s().median});
  return out;
}

// The finest first. Floats wider than bf16 hold nothing that published weights have.
std::vector<TypePlan> plan_types(const CardModel& model, int64_t context, const Machine& machine) {
  std::vector<TypePlan> plans;
  for (const QuantType* type : writable_types()) {
    if (type->name != "f32" && type->name != "f16") plans.push_back(plan_type(model, *type, context, machine));
  }
  std::stable_sort(plans.begin(), plans.end(), [](const TypePlan& a, const TypePlan& b) {
    return a.size.bits_per_weight > b.size.bits_per_weight;
  });
  return plans;
}

Json type_json(const TypePlan& plan) {
  return {{"type", plan.type->name},
          {"bits_per_weight", plan.size.bits_per_weight},
          {"file_bytes", plan.size.file_bytes},
          {"weights_bytes", plan.plan.weights_bytes},
          {"kv_bytes", plan.plan.kv_bytes},
          {"need_bytes", plan.plan.need_bytes},
          {"fits", plan.plan.fits},
          {"prefill_tok_s", plan.plan.prefill_tok_s},
          {"decode_tok_s", plan.plan.decode_tok_s},
          {"decode_at_context_tok_s", plan.plan.decode_at_context_tok_s}};
}

Json plan_json(const CardModel& model, const PlanOptions& options, const Machine& machine, const TypePlan& asked,
               const std::vector<TypePlan>& all, const TypePlan* best) {
  const Ceilings& ceilings = machine.ceilings;
  Json out = {{"card", model.card->name},
              {"context", options.context},
              {"layers", model.config.num_hidden_layers},
              {"parameters", model.summary.main_parameters},
              {"active_parameters", model.summary.active_parameters},
              {"machine",
               {{"processor", cpu_features().model_name},
                {"threads", ceilings.threads()},
                {"memory_bytes", machine.memory.total_bytes},
                {"available_bytes", machine.memory.available_bytes}}},
              {"ceilings",
               {{"read_gb_s", ceilings.read_gb_s().median},
                {"bf16_tflop_s", ceilings.bf16_tflop_s().median},
                {"int8_top_s", ceilings.int8_top_s().median}}},
              {"assumed", {{"decode_of_read", kDecodeOfRead}, {"prefill_of_peak", kPrefillOfPeak}}},
              {"plan", type_json(asked)},
              {"best_type", best == nullptr ? Json() : Json(best->type->name)}};
  for (const TypePlan& plan : all) out["types"].push_back(type_json(plan));
  return out;
}

std::string row(std::string_view label, const std::string& value) { return fmt::format("{:<10}{}\n", label, value); }

std::string table_row(const TypePlan& plan, std::string_view mark) {
  return fmt::format("  {:<8}{:>6.2f}{:>11}{:>11}  {:<4}{:>9.1f}{:>9.1f}{:>11.1f}{}\n", plan.type->name,
                     plan.size.bits_per_weight, human_bytes(plan.plan.weights_bytes), human_bytes(plan.plan.need_bytes),
                     plan.plan.fits ? "yes" : "no", plan.plan.prefill_tok_s, plan.plan.decode_tok_s,
                     plan.plan.decode_at_context_tok_s, mark);
}

std::string plan_text(const CardModel& model, const PlanOptions& options, const Machine& machine, const TypePlan& asked,
                      const std::vector<TypePlan>& all, const TypePlan* best) {
  const Ceilings& ceilings = machine.ceilings;
  std::string text = row(
      "model", fmt::format("{}, {} layers, {} parameters, {} active", model.card->name, model.config.num_hidden_layers,
                           human_count(model.summary.main_parameters), human_count(model.summary.active_parameters)));
  text += row("machine",
              fmt::format("{}, {} threads, {} of memory, {} available", cpu_features().model_name, ceilings.threads(),
                          human_bytes(machine.memory.total_bytes), human_bytes(machine.memory.available_bytes)));
  text += row("ceilings", fmt::format("read {:.1f} GB/s, bf16 {:.2f} TFLOP/s ({}), int8 {:.2f} TOP/s ({})",
                                      ceilings.read_gb_s().median, ceilings.bf16_tflop_s().median, bf16_unit(),
                                      ceilings.int8_top_s().median, int8_unit()));
  text += row("memory", fmt::format("weights {} + KV {} for {} tokens + {} to work with = {}: {}",
                                    human_bytes(asked.plan.weights_bytes), human_bytes(asked.plan.kv_bytes),
                                    options.context, human_bytes(kWorkingBytes), human_bytes(asked.plan.need_bytes),
                                    asked.plan.fits ? "fits" : "does not fit"));
  text += row("expected", fmt::format("prefill {:.0f} tok/s, decode {:.1f} tok/s, {:.1f} at {} tokens of context",
                                      asked.plan.prefill_tok_s, asked.plan.decode_tok_s,
                                      asked.plan.decode_at_context_tok_s, options.context));
  text += row("best type", best == nullptr ? "none fits: the model needs a machine with more memory"
                                           : std::string(best->type->name));
  text += fmt::format("\n  {:<8}{:>6}{:>11}{:>11}  {:<4}{:>9}{:>9}{:>11}\n", "type", "bits", "weights", "needs", "fits",
                      "prefill", "decode", "at context");
  for (const TypePlan& plan : all) {
    const bool is_best = best != nullptr && plan.type == best->type;
    const bool is_asked = plan.type == asked.type;
    const bool shown = std::find(kShownTypes.begin(), kShownTypes.end(), plan.type->name) != kShownTypes.end();
    if (shown || is_best || is_asked)
      text += table_row(plan, is_best ? "  <- best that fits" : is_asked ? "  <- asked" : "");
  }
  return text;
}

// "3,2,2"
std::vector<double> split_weights(std::string_view text) {
  std::vector<double> weights;
  for (bool is_last = text.empty(); !is_last;) {
    const std::string_view word = text.substr(0, text.find(','));
    double weight = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), weight);
    if (error != std::errc() || end != word.data() + word.size()) {
      fail(ErrorCode::kUsage, "--split: '{}' is no number; expected one for each rank, as in 3,2,2", word);
    }
    weights.push_back(weight);
    is_last = word.size() == text.size();
    text.remove_prefix(is_last ? text.size() : word.size() + 1);
  }
  return weights;
}

// A model whose ranks are planned: of a card, or as downloaded.
struct RankedModel {
  std::string name;
  std::string types;  // for people
  ModelConfig config;
  std::vector<TypedTensor> tensors;
};

// What each rank of a parallel form holds. No speed: that depends on the network.
std::string ranks_text(const RankedModel& model, const PlanOptions& options) {
  const std::vector<double> costs = layer_bytes(model.config, model.tensors);
  const std::vector<Placement> placements =
      place(model.config, parallel_form(options.parallel), split_weights(options.split), costs);
  std::string text =
      row("model", fmt::format("{}, {} layers, {}", model.name, model.config.num_hidden_layers, model.types));
  text += row("ranks", to_string(placements.front().form)) + "\n" + describe(placements, model.config) + "\n";
  text += fmt::format("{:<6}{:>12}{:>14}{:>18}\n", "rank", "weights", "KV a token",
                      fmt::format("KV of {}", options.context));
  for (const Placement& placement : placements) {
    const RankSize size = size_of_rank(model.config, model.tensors, placement);
    text += fmt::format("{:<6}{:>12}{:>14}{:>18}\n", placement.rank, human_bytes(size.weights_bytes),
                        human_bytes(size.kv_bytes_per_token), human_bytes(size.kv_bytes_per_token * options.context));
  }
  return text;
}

void check_options(const PlanOptions& options, const ModelConfig& config) {
  if (options.context < 1 || options.context > config.max_position_embeddings) {
    fail(ErrorCode::kUsage, "--ctx is {}, but must be in [1, {}] (max_position_embeddings)", options.context,
         config.max_position_embeddings);
  }
}

// Of a model as downloaded, in its own types.
int plan_ranks_of_file(const PlanOptions& options) {
  if (options.parallel.empty()) fail(ErrorCode::kUsage, "--model goes with --parallel; without it, give --card");
  if (!options.card.empty()) fail(ErrorCode::kUsage, "--model and --card exclude each other");
  if (options.type) fail(ErrorCode::kUsage, "--type goes with --card: a model as downloaded has types of its own");
  if (options.layers) fail(ErrorCode::kUsage, "--layers goes with --card");
  const std::unique_ptr<ModelSource> source = ModelSource::open(options.model.folder_or_file());
  RankedModel model{.name = source->path().string(),
                    .types = fmt::format("types of its own ({})", source->format()),
                    .config = read_config(side_files_of(*source)),
                    .tensors = typed_tensors(*source)};
  check_options(options, model.config);
  write_output(ranks_text(model, options));
  return 0;
}

}  // namespace

int plan_command(Arguments arguments) {
  PlanOptions options;
  Flags flags(
      "plan",
      "Estimates, before any download, whether a model fits this machine and how fast it would run, from its card and "
      "from memory and multiply throughput measured now (takes a few seconds).");
  flags.add("--card", options.card, "NAME", "The model; 'glimmer models' lists them")
      .add("-m,--model", options.model.model, "PATH", "With --parallel: a model as downloaded, instead of a card")
      .add("--type", options.type, "TYPE", "Type of the weights (default: q4_k)")
      .add("--ctx", options.context, "N", "Context to reserve memory for, in tokens (default: 8192)")
      .add("--layers", options.layers, "N", "Plan for the first N layers only")
      .add("--parallel", options.parallel, "FORM",
           "Show what each of several ranks would hold instead: tp=N, pp=N or pp=N,tp=M")
      .add("--split", options.split, "W,W,...", "Weights of the ranks, with --parallel (default: all alike)")
      .add("-t,--threads", options.threads, "N", "Threads (default: all available CPUs)")
      .add_switch("--json", options.as_json, "Print one JSON object, including all types")
      .examples(
          "  glimmer plan --card GLM-4.5-Air --type q4_k\n"
          "  glimmer plan --card GLM-4.7-Flash --type q8_0 --ctx 32768 --json\n"
          "  glimmer plan --card GLM-4.7-Flash --parallel tp=3 --split 3,2,2\n"
          "  glimmer plan -m GLM-4.7-Flash-GGUF --parallel pp=2,tp=2");
  if (!flags.parse(arguments)) return 0;
  if (!options.parallel.empty() && options.as_json) fail(ErrorCode::kUsage, "--json does not go with --parallel");
  if (options.model.model) return plan_ranks_of_file(options);
  if (options.card.empty()) fail(ErrorCode::kUsage, "--card is missing; 'glimmer models' lists the cards");
  const QuantType& type = require_writable_type(options.type.value_or("q4_k"));
  const CardModel model = card_model(require_card(options.card), options.layers);
  check_options(options, model.config);
  if (!options.parallel.empty()) {
    write_output(ranks_text({.name = std::string(model.card->name),
                             .types = std::string(type.name),
                             .config = model.config,
                             .tensors = typed_tensors(model, type)},
                            options));
    return 0;
  }
  if (!options.split.empty()) fail(ErrorCode::kUsage, "--split needs --parallel");
  const int threads = RuntimeFlags{.threads = options.threads}.context_options().threads;

  Machine machine{.memory = memory_info(), .ceilings = Ceilings(threads > 0 ? threads : available_threads())};
  for (int i = 0; i < kCeilingSamples; ++i) machine.ceilings.sample();
  machine.ceilings.release_memory();
  const TypePlan asked = plan_type(model, type, options.context, machine);
  const std::vector<TypePlan> all = plan_types(model, options.context, machine);
  const auto best = std::find_if(all.begin(), all.end(), [](const TypePlan& plan) { return plan.plan.fits; });
  const TypePlan* found = best == all.end() ? nullptr : &*best;
  write_output(options.as_json ? plan_json(model, options, machine, asked, all, found).dump(2) + "\n"
                               : plan_text(model, options, machine, asked, all, found));
  return 0;
}

}  // namespace glimmer::apps
