// Tables whose rows have names: find a row by its name, and list all names for the error that refuses another.
// `name_of` is what std::invoke takes to get a row's name: a member (&Row::name, of tables of pointers too) or a
// function.
#pragma once

#include <functional>
#include <iterator>
#include <string>
#include <string_view>

namespace glimmer {

// The first row of that name, or null.
template <typename Rows, typename NameOf>
auto find_named(const Rows& rows, std::string_view name, NameOf name_of) -> decltype(&*std::begin(rows)) {
  for (auto& row : rows) {
    if (std::string_view(std::invoke(name_of, row)) == name) return &row;
  }
  return nullptr;
}

// "f32, bf16, q4_0": the names in the table's order. Rows with an empty one are left out.
template <typename Rows, typename NameOf>
std::string list_names(const Rows& rows, NameOf name_of) {
  std::string names;
  for (auto& row : rows) {
    const auto& value = std::invoke(name_of, row);
    const std::string_view name(value);
    if (!name.empty()) names.append(names.empty() ? "" : ", ").append(name);
  }
  return names;
}

}  // namespace glimmer
