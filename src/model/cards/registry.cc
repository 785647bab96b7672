#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/quoted_name.h"
#include "model/cards/tables.h"

namespace glimmer {
namespace {

// Lower case, without the organisation.
std::string normalized(std::string_view name) {
  if (const size_t slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  std::string text(name);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_' || c == ' ') c = '-';
  }
  return text;
}

// Letters to insert, remove or replace (Levenshtein).
size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row[b.size()];
}

bool is_called(const ModelCard& card, std::string_view name) {
  return normalized(card.name) == name ||
         std::any_of(card.aliases.begin(), card.aliases.end(),
                     [&](std::string_view alias) { return normalized(alias) == name; });
}

size_t distance(const ModelCard& card, std::string_view name) {
  size_t least = edits_between(normalized(card.name), name);
  for (const std::string_view alias : card.aliases) least = std::min(least, edits_between(normalized(alias), name));
  return least;
}

[[noreturn]] void fail_unknown(std::string_view name) {
  constexpr size_t kShown = 3;
  std::vector<std::pair<size_t, std::string_view>> nearest;
  for (const ModelCard& card : all_cards()) nearest.emplace_back(distance(card, normalized(name)), card.name);
  std::stable_sort(nearest.begin(), nearest.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (size_t i = 0; i < std::min(kShown, nearest.size()); ++i) {
    text.append(i == 0 ? "" : ", ").append(nearest[i].second);
  }
  fail(ErrorCode::kUsage, "there is no card {}; the nearest are {} ('glimmer models' lists all)", quoted_name(name),
       text);
}

bool has_shape(const ModelConfig& a, const ModelConfig& b) {
  return a.model_type == b.model_type && a.vocab_size == b.vocab_size && a.hidden_size == b.hidden_size &&
         a.intermediate_size == b.intermediate_size && a.num_hidden_layers == b.num_hidden_layers &&
         a.num_attention_heads == b.num_attention_heads && a.num_key_value_heads == b.num_key_value_heads &&
         a.moe_intermediate_size == b.moe_intermediate_size && a.n_routed_experts == b.n_routed_experts &&
         a.max_position_embeddings == b.max_position_embeddings;
}

// How much of `path`, lower case, names the card.
size_t named_bytes(const ModelCard& card, const std::string& path) {
  size_t most = path.find(normalized(card.name)) == std::string::npos ? 0 : card.name.size();
  for (const std::string_view alias : card.aliases) {
    if (path.find(normalized(alias)) != std::string::npos) most = std::max(most, alias.size());
  }
  return most;
}

std::string lower_case(std::string_view name) {
  std::string text;
  for (const char c : name) text += c == '/' ? '/' : normalized(std::string(1, c))[0];
  return text;
}

}  // namespace

std::span<const ModelCard> all_cards() {
  static const auto cards = [] {
    std::vector<ModelCard> all;
    for (const auto table : {glm4_moe_cards(), glm4_moe_lite_cards(), dense_glm_cards()}) {
      all.insert(all.end(), table.begin(), table.end());
    }
    return all;
  }();
  return cards;
}

const ModelCard& require_card(std::string_view name) {
  const std::string wanted = normalized(name);
  for (const ModelCard& card : all_cards()) {
    if (is_called(card, wanted)) return card;
  }
  fail_unknown(name);
}

const ModelCard* find_card(const ModelConfig& config, std::string_view name) {
  std::vector<const ModelCard*> cards;
  for (const ModelCard& card : all_cards()) {
    if (has_shape(config, card_config(card))) cards.push_back(&card);
  }
  if (cards.empty()) return nullptr;
  const std::string path = lower_case(name);
  const auto by_name = [&](const ModelCard* a, const ModelCard* b) {
    return named_bytes(*a, path) < named_bytes(*b, path);
  };
  const ModelCard* named = *std::max_element(cards.begin(), cards.end(), by_name);
  if (named_bytes(*named, path) > 0) return named;
  const bool agree = std::all_of(cards.begin(), cards.end(), [&](const ModelCard* card) {
    return card->temperature == named->temperature && card->top_p == named->top_p && card->top_k == named->top_k;
  });
  return agree ? named : nullptr;
}

std::string card_config_json(const ModelCard& card, std::optional<int64_t> layers) {
  Json json = parse_json(card.config_json, card.name);
  if (layers) {
    const int64_t there = json.at("num_hidden_layers");
    if (*layers < 1 || *layers > there) {
      fail(ErrorCode::kUsage, "--layers is {}, but must be in [1, {}]: {} has {} layers", *layers, there, card.name,
           there);
    }
    json["num_hidden_layers"] = *layers;
  }
  return json.dump(2) + "\n";
}

ModelConfig card_config(const ModelCard& card, std::optional<int64_t> layers) {
  const std::string source = "card " + std::string(card.name);
  return parse_config(parse_json(card_config_json(card, layers), source), source);
}

}  // namespace glimmer
