// glimmer models: the cards of the released models.
#include <fmt/format.h>

#include "apps/card_model.h"
#include "apps/command.h"
#include "apps/terminal.h"

namespace glimmer::apps {
namespace {

constexpr std::array kTypes = {"bf16", "q8_0", "q4_k"};

Json card_json(const CardModel& model) {
  const ModelCard& card = *model.card;
  Json out = {{"name", card.name},
              {"repository", card.repository},
              {"aliases", card.aliases},
              {"family", model.config.model_type},
              {"parameters", model.summary.main_parameters},
              {"active_parameters", model.summary.active_parameters},
              {"layers", model.config.num_hidden_layers},
              {"context", model.config.max_position_embeddings},
              {"kv_bytes_per_token_bf16", model.summary.kv_bytes_per_token_bf16},
              {"licence", card.licence.empty() ? Json() : Json(card.licence)},
              {"note", card.note},
              {"sampling", Json::object()}};
  if (card.temperature) out["sampling"]["temperature"] = *card.temperature;
  if (card.top_p) out["sampling"]["top_p"] = *card.top_p;
  if (card.top_k) out["sampling"]["top_k"] = *card.top_k;
  for (const char* type : kTypes) out["bytes"][type] = size_in_type(model, require_quant_type(type)).file_bytes;
  return out;
}

std::string card_row(const CardModel& model) {
  std::string row =
      fmt::format("{:<17}{:<15}{:>9}{:>9}{:>7}{:>9}", model.card->name, model.config.model_type,
                  human_count(model.summary.main_parameters), human_count(model.summary.active_parameters),
                  model.config.num_hidden_layers, model.config.max_position_embeddings);
  for (const char* type : kTypes) {
    row += fmt::format("{:>11}", human_bytes(size_in_type(model, require_quant_type(type)).file_bytes));
  }
  return row + "\n";
}

}  // namespace

int models_command(Arguments arguments) {
  bool as_json = false;
  Flags flags(
      "models",
      "Lists the released models that Glimmer knows: total and active parameters, and the size of their weights in "
      "some types.");
  flags.add_switch("--json", as_json, "Print a JSON list, including licences, sampling defaults and KV bytes")
      .examples("  glimmer models\n  glimmer plan --card GLM-4.5-Air --type q4_k");
  if (!flags.parse(arguments)) return 0;
  if (as_json) {
    Json list = Json::array();
    for (const ModelCard& card : all_cards()) list.push_back(card_json(card_model(card)));
    write_output(list.dump(2) + "\n");
    return 0;
  }
  std::string text =
      fmt::format("{:<17}{:<15}{:>9}{:>9}{:>7}{:>9}", "name", "family", "params", "active", "layers", "context");
  for (const char* type : kTypes) text += fmt::format("{:>11}", type);
  text += "\n";
  for (const ModelCard& card : all_cards()) text += card_row(card_model(card));
  for (const ModelCard& card : all_cards()) {
    if (!card.note.empty()) text += fmt::format("\n{}: {}", card.name, card.note);
  }
  write_output(text + "\n");
  return 0;
}

}  // namespace glimmer::apps
