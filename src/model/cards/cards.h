// Model cards: what is known of the released models without downloading anything. `glimmer models` lists them, `plan`
// and `bench --synthetic` work from them.
//
// A model is a row of the table in its family's file (glm4_moe.cc, ...). Facts come from the makers' files; a field of
// config.json that is not known for sure is left out, and one that no reader needs may be.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace glimmer {

struct ModelCard {
  std::string_view name;                  // as its makers write it: "GLM-4.5-Air"
  std::string_view repository;            // on Hugging Face
  std::vector<std::string_view> aliases;  // other names that people use
  std::string_view licence;               // "" if not known
  std::string_view note;                  // for people: where the facts are not the maker's own config.json; or ""
  std::string_view config_json;
  // How its makers mean it to be sampled, if known.
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> top_k;
};

std::span<const ModelCard> all_cards();

// By name or alias, whatever the case, with or without the organisation ("zai-org/glm-4.5-air"). Throws kUsage for an
// unknown one, with the nearest names.
const ModelCard& require_card(std::string_view name);

// The card of a model of this shape. If several have it, the one whose name or alias is in `name` (of its folder or
// file, or its path; the longest that is), or any of them if they agree on how to sample. Null if there is none.
const ModelCard* find_card(const ModelConfig& config, std::string_view name);

// config.json of the card; with `layers`, of a model of its first `layers` layers. Throws kUsage if the model has not
// so many.
std::string card_config_json(const ModelCard& card, std::optional<int64_t> layers = std::nullopt);
ModelConfig card_config(const ModelCard& card, std::optional<int64_t> layers = std::nullopt);

}  // namespace glimmer
