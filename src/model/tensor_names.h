// Parses tensor names of published checkpoints.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace glimmer {

// L of "model.layers.L.rest". From num_hidden_layers on it is a multi-token-prediction layer.
inline std::optional<int64_t> layer_index(std::string_view name) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (error != std::errc{} || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return layer;
}

}  // namespace glimmer
