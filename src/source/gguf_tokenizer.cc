#include "source/gguf_tokenizer.h"

#include <simdjson.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "base/json.h"
#include "base/quoted_name.h"
#include "base/utf8.h"
#include "source/gguf_pre_type.h"

namespace glimmer {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 22;

enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

bool is_padding(const GgufTokenizer& gguf, size_t id) {
  const int64_t type = gguf.token_type[id];
  return (type == kUnused || type == kUserDefined) && gguf.tokens[id] == fmt::format("[PAD{}]", id);
}

bool is_added(int64_t type) { return type == kUnknown || type == kControl || type == kUserDefined; }

const GgufPreType& require_pre_type(const GgufTokenizer& gguf, std::string_view source) {
  if (gguf.model != "gpt2") {
    fail(ErrorCode::kUnsupported, "{}: tokenizer.ggml.model: {}; known is \"gpt2\" (byte-level BPE)", source,
         quoted_name(gguf.model));
  }
  if (!gguf.pre) {
    fail(ErrorCode::kUnsupported,
         "{}: tokenizer.ggml.pre: the key is absent, so how text is cut into pieces is not known; convert the model "
         "anew, with one of {}",
         source, known_gguf_pre_types());
  }
  const GgufPreType* type = find_gguf_pre_type(*gguf.pre);
  if (type == nullptr) {
    fail(ErrorCode::kUnsupported, "{}: tokenizer.ggml.pre: {}; known are {}", source, quoted_name(*gguf.pre),
         known_gguf_pre_types());
  }
  return *type;
}

void check_utf8(std::span<const std::string_view> texts, std::string_view key, std::string_view source) {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (simdjson::validate_utf8(texts[i])) continue;
    fail(ErrorCode::kInvalid, "{}: {}[{}]: {} is not valid UTF-8", source, key, i, quoted_name(texts[i]));
  }
}

void check_token_count(const GgufTokenizer& gguf, std::string_view source) {
  if (gguf.tokens.empty()) fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.tokens: there are no tokens", source);
  if (gguf.tokens.size() > kMaxTokens) {
    fail(ErrorCode::kLimit, "{}: tokenizer.ggml.tokens: {} tokens; at most {} are read", source, gguf.tokens.size(),
         kMaxTokens);
  }
}

void check_tokens(const GgufTokenizer& gguf, std::string_view source) {
  check_token_count(gguf, source);
  check_utf8(gguf.tokens, "tokenizer.ggml.tokens", source);
  if (gguf.token_type.size() != gguf.tokens.size()) {
    fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.token_type: {} entries, but tokenizer.ggml.tokens has {}", source,
         gguf.token_type.size(), gguf.tokens.size());
  }
  std::unordered_map<std::string_view, size_t> ids;
  ids.reserve(gguf.tokens.size());
  for (size_t id = 0; id < gguf.tokens.size(); ++id) {
    const int64_t type = gguf.token_type[id];
    if (type == kByte) {
      fail(ErrorCode::kUnsupported,
           "{}: tokenizer.ggml.token_type[{}]: 6 (byte), which belongs to SentencePiece; known are 1 to 5", source, id);
    }
    if (type < kNormal || type > kByte) {
      fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.token_type[{}]: {}; known are 1 to 6", source, id, type);
    }
    if (gguf.tokens[id].empty())
      fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.tokens[{}]: the token is empty", source, id);
    if (const auto [first, is_new] = ids.emplace(gguf.tokens[id], id); !is_new) {
      fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.tokens[{}]: {} is token {} already", source, id,
           quoted_name(gguf.tokens[id]), first->second);
    }
  }
}

void check_merges(const GgufTokenizer& gguf, std::string_view source) {
  if (gguf.merges.empty()) fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.merges: there are no merges", source);
  check_utf8(gguf.merges, "tokenizer.ggml.merges", source);
  for (size_t i = 0; i < gguf.merges.size(); ++i) {
    const std::string_view merge = gguf.merges[i];
    const size_t space = merge.find(' ');
    if (space == 0 || space == merge.npos || space + 1 == merge.size() || merge.find(' ', space + 1) != merge.npos) {
      fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.merges[{}]: expected two tokens with one space between, found {}",
           source, i, quoted_name(merge));
    }
  }
}

void check_id(const GgufTokenizer& gguf, std::optional<int64_t> id, std::string_view name, std::string_view source) {
  if (!id || (*id >= 0 && *id < static_cast<int64_t>(gguf.tokens.size()))) return;
  fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.{}_token_id: {} is outside [0, {}), the ids of tokenizer.ggml.tokens",
       source, name, *id, gguf.tokens.size());
}

void check_ids(const GgufTokenizer& gguf, std::string_view source) {
  check_id(gguf, gguf.bos, "bos", source);
  check_id(gguf, gguf.eos, "eos", source);
  check_id(gguf, gguf.eot, "eot", source);
  check_id(gguf, gguf.eom, "eom", source);
  check_id(gguf, gguf.unknown, "unknown", source);
  check_id(gguf, gguf.padding, "padding", source);
}

// ---- the text of tokenizer.json

// A JSON string. The text is valid UTF-8.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, done, i - done);
    done = i + 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
    }
  }
  out.append(text, done, text.npos);
  out += '"';
}

void append_number(std::string& out, size_t value) {
  const fmt::format_int text(value);
  out.append(text.data(), text.size());
}

// Behind model.vocab come the added tokens that follow it without a gap, as they do in tokenizer.json; added tokens
// that stand among the others are in model.vocab as well.
size_t vocab_end(const GgufTokenizer& gguf) {
  const size_t count = gguf.tokens.size();
  size_t last = count;  // behind the last token that is no padding
  while (last > 0 && is_padding(gguf, last - 1)) --last;
  size_t end = last;
  while (end > 0 && is_added(gguf.token_type[end - 1]) && !is_padding(gguf, end - 1)) --end;
  // An added token's id must be the number of tokens before it.
  for (size_t id = 0; id < end; ++id) {
    if (is_padding(gguf, id)) return last;
  }
  return end;
}

void append_added_tokens(std::string& out, const GgufTokenizer& gguf) {
  out += "  \"added_tokens\": [";
  bool first = true;
  for (size_t id = 0; id < gguf.tokens.size(); ++id) {
    if (!is_added(gguf.token_type[id]) || is_padding(gguf, id)) continue;
    out += first ? "\n    {\"id\": " : ",\n    {\"id\": ";
    first = false;
    append_number(out, id);
    out += ", \"content\": ";
    append_quoted(out, gguf.tokens[id]);
    out += R"(, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": )";
    out += gguf.token_type[id] == kUserDefined ? "false}" : "true}";
  }
  out += first ? "],\n" : "\n  ],\n";
}

void append_vocab(std::string& out, const GgufTokenizer& gguf) {
  out += "    \"vocab\": {";
  bool first = true;
  for (size_t id = 0, end = vocab_end(gguf); id < end; ++id) {
    if (is_padding(gguf, id)) continue;
    out += first ? "\n      " : ",\n      ";
    first = false;
    append_quoted(out, gguf.tokens[id]);
    out += ": ";
    append_number(out, id);
  }
  out += "\n    },\n";
}

void append_merges(std::string& out, const GgufTokenizer& gguf) {
  out += "    \"merges\": [";
  bool first = true;
  for (const std::string_view merge : gguf.merges) {
    const size_t space = merge.find(' ');
    out += first ? "\n      [" : ",\n      [";
    first = false;
    append_quoted(out, merge.substr(0, space));
    out += ", ";
    append_quoted(out, merge.substr(space + 1));
    out += ']';
  }
  out += "\n    ]\n";
}

constexpr std::string_view kByteLevel =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": )";

void append_pre_tokenizer(std::string& out, const GgufPreType& type) {
  out += "  \"pre_tokenizer\": ";
  if (!type.split.empty()) {
    out += R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": )";
    append_quoted(out, type.split);
    out.append(R"(}, "behavior": "Isolated", "invert": false}, )").append(kByteLevel).append("false}]},\n");
  } else if (type.digits) {
    out += R"({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, )";
    out.append(kByteLevel).append("true}]},\n");
  } else {
    out.append(kByteLevel).append("true},\n");
  }
}

struct Affixes {
  std::optional<int64_t> bos, eos;
};

// What is put around a text. Throws if it is to be, and there is no id for it.
Affixes affixes_of(const GgufTokenizer& gguf, const GgufPreType& type, std::string_view source) {
  const bool asked_bos = gguf.add_bos.value_or(false);
  if (asked_bos && !gguf.bos) {
    fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.add_bos_token: true, but there is no tokenizer.ggml.bos_token_id",
         source);
  }
  if (gguf.add_eos.value_or(false) && !gguf.eos) {
    fail(ErrorCode::kInvalid, "{}: tokenizer.ggml.add_eos_token: true, but there is no tokenizer.ggml.eos_token_id",
         source);
  }
  Affixes affixes;
  if (gguf.add_bos.value_or(type.adds_bos)) affixes.bos = gguf.bos;
  if (gguf.add_eos.value_or(false)) affixes.eos = gguf.eos;
  return affixes;
}

void append_template_token(std::string& out, std::string_view token, int type_id) {
  out += R"({"SpecialToken": {"id": )";
  append_quoted(out, token);
  fmt::format_to(std::back_inserter(out), R"(, "type_id": {}}}}})", type_id);
}

// The part of a TemplateProcessing for one sequence: bos, the text, eos.
void append_template_part(std::string& out, const GgufTokenizer& gguf, const Affixes& affixes, char sequence) {
  const int type_id = sequence - 'A';
  if (affixes.bos) {
    append_template_token(out, gguf.tokens[*affixes.bos], type_id);
    out += ", ";
  }
  fmt::format_to(std::back_inserter(out), R"({{"Sequence": {{"id": "{}", "type_id": {}}}}})", sequence, type_id);
  if (affixes.eos) {
    out += ", ";
    append_template_token(out, gguf.tokens[*affixes.eos], type_id);
  }
}

void append_post_processor(std::string& out, const GgufTokenizer& gguf, const GgufPreType& type,
                           std::string_view source) {
  const Affixes affixes = affixes_of(gguf, type, source);
  constexpr std::string_view kOffsets =
      R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true})";
  out += "  \"post_processor\": ";
  if (!affixes.bos && !affixes.eos) {
    out.append(kOffsets).append(",\n");
    return;
  }
  out.append(R"({"type": "Sequence", "processors": [)").append(kOffsets);
  out += R"(, {"type": "TemplateProcessing", "single": [)";
  append_template_part(out, gguf, affixes, 'A');
  out += R"(], "pair": [)";
  append_template_part(out, gguf, affixes, 'A');
  out += ", ";
  append_template_part(out, gguf, affixes, 'B');
  out += R"(], "special_tokens": {)";
  bool first = true;
  for (const std::optional<int64_t> id : {affixes.bos, affixes.eos == affixes.bos ? std::nullopt : affixes.eos}) {
    if (!id) continue;
    if (!first) out += ", ";
    first = false;
    append_quoted(out, gguf.tokens[*id]);
    out += R"(: {"id": )";
    append_quoted(out, gguf.tokens[*id]);
    fmt::format_to(std::back_inserter(out), R"(, "ids": [{}], "tokens": [)", *id);
    append_quoted(out, gguf.tokens[*id]);
    out += "]}";
  }
  out += "}}]},\n";
}

size_t text_size(const GgufTokenizer& gguf) {
  const auto add = [](size_t sum, std::string_view text) { return sum + text.size(); };
  size_t bytes = std::accumulate(gguf.tokens.begin(), gguf.tokens.end(), size_t{0}, add);
  bytes = std::accumulate(gguf.merges.begin(), gguf.merges.end(), bytes, add);
  return bytes + bytes / 16 + gguf.tokens.size() * 20 + gguf.merges.size() * 16 + 65536;
}

// ---- tokenizer.huggingface.json

void check_hf_token(const GgufTokenizer& gguf, std::string_view token, simdjson::dom::element value,
                    std::string_view source) {
  int64_t id = -1;
  if (value.get(id) != simdjson::SUCCESS || id < 0 || id >= static_cast<int64_t>(gguf.tokens.size())) {
    fail(ErrorCode::kInvalid,
         "{}: tokenizer.huggingface.json: the id of {} is not in [0, {}), the ids of tokenizer.ggml.tokens", source,
         quoted_name(token), gguf.tokens.size());
  }
  if (gguf.tokens[static_cast<size_t>(id)] != token) {
    fail(ErrorCode::kInvalid, "{}: tokenizer.huggingface.json: token {} is {}, but {} in tokenizer.ggml.tokens", source,
         id, quoted_name(token), quoted_name(gguf.tokens[static_cast<size_t>(id)]));
  }
}

// The text must speak of the same tokens as tokenizer.ggml.tokens; the rest of it is its reader's to check.
void check_hf_json(const GgufTokenizer& gguf, std::string_view source) {
  check_token_count(gguf, source);
  const std::string where = fmt::format("{}: tokenizer.huggingface.json", source);
  const simdjson::padded_string padded(gguf.huggingface_json);
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  simdjson::error_code error = parser.allocate(padded.size(), kMaxJsonDepth);
  if (error == simdjson::SUCCESS) error = parser.parse(padded).get(document);
  if (error != simdjson::SUCCESS) {
    fail(ErrorCode::kInvalid, "{}: not a JSON document: {}", where, simdjson::error_message(error));
  }
  simdjson::dom::object vocab;
  if (document["model"]["vocab"].get(vocab) != simdjson::SUCCESS) {
    fail(ErrorCode::kInvalid, "{}: expected an object model.vocab", where);
  }
  std::vector<bool> seen(gguf.tokens.size());
  const auto check = [&](std::string_view token, simdjson::dom::element id) {
    check_hf_token(gguf, token, id, source);
    seen[static_cast<size_t>(int64_t{id})] = true;
  };
  for (const auto field : vocab) check(field.key, field.value);
  simdjson::dom::array added;
  if (document["added_tokens"].get(added) == simdjson::SUCCESS) {
    for (const simdjson::dom::element token : added) {
      std::string_view content;
      simdjson::dom::element id;
      if (token["content"].get(content) != simdjson::SUCCESS || token["id"].get(id) != simdjson::SUCCESS) {
        fail(ErrorCode::kInvalid, "{}: expected an id and a content of every one of added_tokens", where);
      }
      check(content, id);
    }
  }
  for (size_t id = 0; id < seen.size(); ++id) {
    if (seen[id] || gguf.tokens[id] == fmt::format("[PAD{}]", id)) continue;
    fail(ErrorCode::kInvalid, "{}: no token has the id {}, which is {} in tokenizer.ggml.tokens", where, id,
         quoted_name(gguf.tokens[id]));
  }
}

}  // namespace

std::string tokenizer_json_of(const GgufTokenizer& gguf, std::string_view source) {
  if (!gguf.huggingface_json.empty()) {
    check_hf_json(gguf, source);
    return std::string(gguf.huggingface_json);
  }
  const GgufPreType& type = require_pre_type(gguf, source);
  check_tokens(gguf, source);
  check_merges(gguf, source);
  check_ids(gguf, source);
  if (gguf.add_space_prefix.value_or(false)) {
    fail(ErrorCode::kUnsupported, "{}: tokenizer.ggml.add_space_prefix: true; known is false (byte-level BPE)", source);
  }
  std::string out;
  out.reserve(text_size(gguf));
  out += "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
  append_added_tokens(out, gguf);
  out += "  \"normalizer\": null,\n";
  append_pre_tokenizer(out, type);
  append_post_processor(out, gguf, type, source);
  out += R"(  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},)";
  out += "\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n";
  out += "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n";
  out += fmt::format("    \"byte_fallback\": false,\n    \"ignore_merges\": {},\n", type.ignore_merges);
  append_vocab(out, gguf);
  append_merges(out, gguf);
  out += "  }\n}\n";
  return out;
}

std::string tokenizer_config_json_of(const GgufTokenizer& gguf, std::string_view source) {
  check_token_count(gguf, source);
  check_utf8(gguf.tokens, "tokenizer.ggml.tokens", source);
  check_ids(gguf, source);
  const GgufPreType* type = gguf.pre ? find_gguf_pre_type(*gguf.pre) : nullptr;
  const bool glm = (type != nullptr && type->glm) || (gguf.bos && gguf.tokens[*gguf.bos] == "[gMASK]");
  Json config = Json::object();
  const auto name = [&](const char* field, std::optional<int64_t> id) {
    if (id) config[field] = std::string(gguf.tokens[static_cast<size_t>(*id)]);
  };
  if (!glm) name("bos_token", gguf.bos);  // GLM's files have neither of these two
  name("eos_token", gguf.eos);
  name("pad_token", gguf.padding);
  if (!glm) name("unk_token", gguf.unknown);
  config["clean_up_tokenization_spaces"] = false;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  return config.dump(2) + "\n";
}

std::vector<int32_t> gguf_eos_token_ids(const GgufTokenizer& gguf, std::string_view source) {
  check_ids(gguf, source);
  std::vector<int32_t> ids;
  for (const std::optional<int64_t> id : {gguf.eos, gguf.eot, gguf.eom}) {
    if (!id || std::find(ids.begin(), ids.end(), static_cast<int32_t>(*id)) != ids.end()) continue;
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

std::optional<GgufTokenizer> read_gguf_tokenizer(const GgufMetadata& metadata) {
  GgufTokenizer gguf;
  const auto model = metadata.text("tokenizer.ggml.model");
  if (!model || *model == "none" || *model == "no_vocab") return std::nullopt;
  gguf.model = *model;
  gguf.pre = metadata.text("tokenizer.ggml.pre");
  if (const auto* tokens = metadata.texts("tokenizer.ggml.tokens")) gguf.tokens = *tokens;
  if (auto types = metadata.integers("tokenizer.ggml.token_type")) gguf.token_type = std::move(*types);
  if (const auto* merges = metadata.texts("tokenizer.ggml.merges")) gguf.merges = *merges;
  gguf.bos = metadata.integer("tokenizer.ggml.bos_token_id");
  gguf.eos = metadata.integer("tokenizer.ggml.eos_token_id");
  gguf.eot = metadata.integer("tokenizer.ggml.eot_token_id");
  gguf.eom = metadata.integer("tokenizer.ggml.eom_token_id");
  gguf.unknown = metadata.integer("tokenizer.ggml.unknown_token_id");
  gguf.padding = metadata.integer("tokenizer.ggml.padding_token_id");
  gguf.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token");
  gguf.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token");
  gguf.add_space_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix");
  gguf.huggingface_json = metadata.text("tokenizer.huggingface.json").value_or("");
  gguf.chat_template = metadata.text("tokenizer.chat_template").value_or("");
  constexpr std::string_view kNamed = "tokenizer.chat_template.";
  for (const GgufMetadata::Entry& entry : metadata.entries()) {
    if (!entry.key.starts_with(kNamed)) continue;
    // The name becomes a file's, so it must be nothing else.
    const std::string_view name = entry.key.substr(kNamed.size());
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
    if (name.empty() || !plain) {
      fail(ErrorCode::kInvalid, "{}: key {}: expected a template's name of letters, digits, _ and -", metadata.source(),
           quoted_name(entry.key));
    }
    gguf.chat_templates[std::string(name)] = *metadata.text(entry.key);
  }
  return gguf;
}

}  // namespace glimmer
