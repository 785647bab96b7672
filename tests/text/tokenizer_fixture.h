// A small byte-level tokenizer.json for the tests: 256 bytes, a few merges, what a patch changes.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace glimmer {

// The lines of tests/text/tokenizer_cases.jsonl, which tools/make_tokenizer_cases.py wrote with Hugging Face's
// `tokenizers`.
inline const std::vector<Json>& tokenizer_case_lines() {
  static const std::vector<Json> lines = [] {
    std::vector<Json> out;
    std::ifstream file(GLIMMER_SOURCE_DIR "/tests/text/tokenizer_cases.jsonl");
    for (std::string line; std::getline(file, line);) out.push_back(parse_json(line, "tokenizer_cases.jsonl"));
    return out;
  }();
  return lines;
}

// The first line is the tokenizer itself. A patch replaces its fields; those of "model" one by one.
inline Json patched_tokenizer(const Json& patch) {
  Json out = tokenizer_case_lines().at(0);
  for (const auto& [name, value] : patch.items()) {
    if (name != "model") {
      out[name] = value;
      continue;
    }
    for (const auto& [field, field_value] : value.items()) out["model"][field] = field_value;
  }
  return out;
}

inline Tokenizer load_tokenizer(const Json& json) { return Tokenizer::from_json(dump_json(json), "test.json"); }
inline Tokenizer base_tokenizer() { return load_tokenizer(patched_tokenizer(Json::object())); }

inline Json added_token_json(int32_t id, const std::string& content, const std::vector<std::string>& flags = {}) {
  Json out = {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
              {"rstrip", false}, {"normalized", false}, {"special", false}};
  for (const std::string& flag : flags) out[flag] = true;
  return out;
}

}  // namespace glimmer
