#include "source/dllama_tokenizer_json.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/error.h"
#include "base/json.h"
#include "base/quoted_name.h"
#include "base/utf8.h"
#include "source/dllama_merges.h"
#include "source/gguf_pre_type.h"
#include "source/gguf_tokenizer.h"

namespace glimmer {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 22;
constexpr std::string_view kAllSplits = "all_splits";
constexpr std::string_view kByRank = "by_rank";

// ---- bytes as byte-level BPE prints them: the printable ones of Latin-1 as they are, the others from U+0100 on

struct ByteChars {
  std::array<char32_t, 256> char_of{};
  std::unordered_map<char32_t, uint8_t> byte_of;

  ByteChars() {
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool plain = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      char_of[byte] = plain ? byte : next++;
      byte_of.emplace(char_of[byte], static_cast<uint8_t>(byte));
    }
  }
};

const ByteChars& byte_chars() {
  static const ByteChars chars;
  return chars;
}

std::string to_chars(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) append_utf8(out, byte_chars().char_of[static_cast<uint8_t>(byte)]);
  return out;
}

// As convert-tokenizer-hf.py: characters that stand for a byte become it, others their UTF-8. `text` is valid UTF-8.
std::string to_bytes(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const CodePoint code_point = decode_utf8(text, at);
    const auto it = byte_chars().byte_of.find(code_point.value);
    if (it != byte_chars().byte_of.end()) {
      out += static_cast<char>(it->second);
    } else {
      out.append(text.substr(at, code_point.size_bytes));
    }
    at += code_point.size_bytes;
  }
  return out;
}

void append_quoted(std::string& out, std::string_view text) { out += Json(text).dump(); }

// ---- reading

Json parse_extension(const DllamaTokenizer& tokenizer, std::string_view file) {
  const std::string source = fmt::format("{}: extension", file);
  Json json = parse_json(*tokenizer.extension, source);
  const auto is_object = [](const Json& at, const char* key) { return at.contains(key) && at[key].is_object(); };
  if (!json.is_object() || !is_object(json, "tokenizer") || !is_object(json["tokenizer"], "model")) {
    fail(ErrorCode::kInvalid, "{}: expected an object with tokenizer.model", source);
  }
  return json;
}

std::optional<std::string> field_text(const Json& extension, const char* field) {
  if (!extension.contains(field)) return std::nullopt;
  return extension[field].dump(2) + "\n";
}

// What the tokens of the model's vocabulary are called, and their bytes for finding merges.
struct ModelVocab {
  std::vector<std::string> texts;
  std::vector<std::string_view> bytes;  // empty for a token that its bytes do not spell
};

ModelVocab read_vocab(const DllamaTokenizer& tokenizer, const Json& extension, std::string_view file) {
  const Json size = extension.value("vocab_size", Json());
  const size_t count = tokenizer.tokens.size();
  if (!size.is_number_unsigned() || size.get<uint64_t>() > count) {
    fail(ErrorCode::kInvalid, "{}: extension: vocab_size: expected a number of tokens up to {}, found {}", file, count,
         dump_json(size).substr(0, 80));
  }
  ModelVocab vocab;
  for (size_t id = 0; id < size.get<size_t>(); ++id) {
    vocab.bytes.emplace_back(tokenizer.tokens[id].bytes);
    vocab.texts.push_back(to_chars(tokenizer.tokens[id].bytes));
  }
  const Json others = extension.value("tokens", Json::array());
  for (const Json& other : others) {
    const bool fits = other.is_array() && other.size() == 2 && other[0].is_number_unsigned() &&
                      other[0].get<uint64_t>() < vocab.texts.size() && other[1].is_string();
    if (!fits) {
      fail(ErrorCode::kInvalid, "{}: extension: tokens: expected [id, text] with an id below {}, found {}", file,
           vocab.texts.size(), dump_json(other).substr(0, 80));
    }
    const auto id = other[0].get<size_t>();
    vocab.texts[id] = other[1].get<std::string>();
    vocab.bytes[id] = {};
  }
  return vocab;
}

void append_vocab(std::string& out, const ModelVocab& vocab) {
  out += "\"vocab\":{";
  for (size_t id = 0; id < vocab.texts.size(); ++id) {
    if (id > 0) out += ',';
    append_quoted(out, vocab.texts[id]);
    fmt::format_to(std::back_inserter(out), ":{}", id);
  }
  out += '}';
}

MergeRule merge_rule(const Json& name, std::string_view file) {
  if (name == kAllSplits) return MergeRule::kAllSplits;
  if (name == kByRank) return MergeRule::kByRank;
  fail(ErrorCode::kInvalid, "{}: extension: merges: expected \"{}\" or \"{}\", found {}", file, kAllSplits, kByRank,
       dump_json(name).substr(0, 80));
}

void append_merges(std::string& out, const ModelVocab& vocab, MergeRule rule, std::string_view file) {
  out += "\"merges\":[";
  bool first = true;
  for (const auto& [left, right] : merges_of_tokens(vocab.bytes, rule, file)) {
    out += first ? "[" : ",[";
    first = false;
    append_quoted(out, vocab.texts[static_cast<size_t>(left)]);
    out += ',';
    append_quoted(out, vocab.texts[static_cast<size_t>(right)]);
    out += ']';
  }
  out += ']';
}

// tokenizer.json with vocab and merges put back where they were: at the model's end.
std::string extended_tokenizer_json(const DllamaTokenizer& tokenizer, const Json& extension, std::string_view file) {
  const ModelVocab vocab = read_vocab(tokenizer, extension, file);
  std::string out = "{";
  for (const auto& [key, value] : extension["tokenizer"].items()) {
    if (out.size() > 1) out += ',';
    append_quoted(out, key);
    out += ':';
    if (key != "model") {
      out += dump_json(value);
      continue;
    }
    out += '{';
    for (const auto& [field, content] : value.items()) {
      if (field == "vocab" || (field == "merges" && extension.contains("merges"))) {
        fail(ErrorCode::kInvalid, "{}: extension: tokenizer.model.{}: expected none, as it follows from the tokens",
             file, field);
      }
      if (field == "merges") continue;
      append_quoted(out, field);
      out.append(":").append(dump_json(content)).append(",");
    }
    append_vocab(out, vocab);
    if (extension.contains("merges")) {
      out += ',';
      append_merges(out, vocab, merge_rule(extension["merges"], file), file);
    } else if (value.contains("merges")) {
      out.append(",\"merges\":").append(dump_json(value["merges"]));
    }
    out += '}';
  }
  return out + "}\n";
}

// Vocabularies that files without the extension are known by.
struct KnownVocab {
  int32_t bos_id;
  std::array<std::string_view, 2> bos_token;
  std::string_view pre_type;
  MergeRule rule;
};
constexpr std::array kKnownVocabs = {
    KnownVocab{128000, {"<|begin_of_text|>", "<｜begin▁of▁sentence｜>"}, "llama-bpe", MergeRule::kAllSplits},
    KnownVocab{151643, {"<|endoftext|>", ""}, "qwen2", MergeRule::kByRank},
    KnownVocab{151329, {"<|endoftext|>", ""}, "glm4", MergeRule::kAllSplits},
    KnownVocab{154820, {"<|endoftext|>", ""}, "glm4", MergeRule::kAllSplits},
};

const KnownVocab& known_vocab(const DllamaTokenizer& tokenizer, std::string_view file) {
  for (size_t id = 0; id < tokenizer.tokens.size(); ++id) {
    if (tokenizer.tokens[id].score == -static_cast<float>(id)) continue;
    fail(ErrorCode::kUnsupported,
         "{}: token {}: score {}, expected {} of a byte-level vocabulary; SentencePiece tokenizers are not supported",
         file, id, tokenizer.tokens[id].score, -static_cast<float>(id));
  }
  const int32_t bos = tokenizer.bos_id.value_or(-1);
  const std::string_view token = bos < 0 ? "" : std::string_view(tokenizer.tokens[static_cast<size_t>(bos)].bytes);
  for (const KnownVocab& known : kKnownVocabs) {
    if (known.bos_id == bos && !token.empty() && (token == known.bos_token[0] || token == known.bos_token[1])) {
      return known;
    }
  }
  fail(ErrorCode::kUnsupported,
       "{}: how text is cut into pieces is not in the file, and its vocabulary (bos_id {}, {}) is not known; known are "
       "Llama 3, Qwen and GLM-4; convert the model with glimmer, which keeps it; without the file the model opens "
       "without a tokenizer",
       file, bos, quoted_name(token));
}

std::string known_tokenizer_json(const DllamaTokenizer& tokenizer, std::string_view file) {
  const KnownVocab& known = known_vocab(tokenizer, file);
  const auto vocab_size = static_cast<size_t>(known.bos_id);
  std::vector<std::string> texts;
  std::vector<std::string_view> bytes;
  GgufTokenizer gguf{.model = "gpt2", .pre = known.pre_type};
  for (size_t id = 0; id < tokenizer.tokens.size(); ++id) {
    const std::string& token = tokenizer.tokens[id].bytes;
    if (id < vocab_size) bytes.emplace_back(token);
    texts.push_back(id < vocab_size ? to_chars(token) : token);
    gguf.token_type.push_back(id < vocab_size ? 1 : 3);  // normal, control
  }
  gguf.tokens.assign(texts.begin(), texts.end());
  std::vector<std::string> merges;
  for (const auto& [left, right] : merges_of_tokens(bytes, known.rule, file)) {
    merges.push_back(texts[static_cast<size_t>(left)] + " " + texts[static_cast<size_t>(right)]);
  }
  gguf.merges.assign(merges.begin(), merges.end());
  gguf.bos = known.bos_id;
  gguf.add_bos = tokenizer.add_bos.value_or(false);
  return tokenizer_json_of(gguf, file);
}

std::string known_tokenizer_config_json(const DllamaTokenizer& tokenizer) {
  const auto text = [&](int32_t id) { return to_valid_utf8(tokenizer.tokens[static_cast<size_t>(id)].bytes); };
  Json json;
  json["add_bos_token"] = tokenizer.add_bos.value_or(false);
  if (tokenizer.bos_id) json["bos_token"] = text(*tokenizer.bos_id);
  if (!tokenizer.eos_ids.empty()) json["eos_token"] = text(tokenizer.eos_ids.front());
  json["clean_up_tokenization_spaces"] = false;
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  return json.dump(2) + "\n";
}

// ---- writing

[[noreturn]] void refuse(ErrorCode code, const HfTokenizerText& hf, const std::string& what) {
  fail(code, "{}: {}", hf.source, what);
}

// Texts of the model's vocabulary by id, which must be 0, 1, 2, ...
std::vector<std::string> vocab_texts(const Json& model, const HfTokenizerText& hf) {
  if (!model.is_object() || !model.contains("vocab") || !model["vocab"].is_object()) {
    refuse(ErrorCode::kInvalid, hf, "model.vocab: expected an object of tokens and ids");
  }
  if (model.contains("type") && model["type"] != "BPE") {
    refuse(ErrorCode::kUnsupported, hf, fmt::format("model.type: {}; known is BPE", dump_json(model["type"])));
  }
  const Json& vocab = model["vocab"];
  if (vocab.size() > kMaxTokens) refuse(ErrorCode::kLimit, hf, "model.vocab: more than 4,194,304 tokens");
  std::vector<std::string> texts(vocab.size());
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_unsigned()) {
      refuse(ErrorCode::kInvalid, hf, fmt::format("model.vocab: {}: expected an id", quoted_name(text)));
    }
    if (text.empty() || id.get<uint64_t>() >= texts.size() || !texts[id.get<size_t>()].empty()) {
      refuse(ErrorCode::kUnsupported, hf,
             fmt::format("model.vocab: {}: id {}: a .t file has each id from 0 on once, and no empty token",
                         quoted_name(text), id.get<uint64_t>()));
    }
    texts[id.get<size_t>()] = text;
  }
  return texts;
}

// Appends the added tokens that are not in the vocabulary.
void add_tokens(const Json& json, const HfTokenizerText& hf, std::vector<std::string>& texts) {
  if (!json.contains("added_tokens") || json["added_tokens"].is_null()) return;
  if (!json["added_tokens"].is_array()) refuse(ErrorCode::kInvalid, hf, "added_tokens: expected a list");
  std::vector<std::pair<uint64_t, std::string>> added;
  for (const Json& token : json["added_tokens"]) {
    const bool fits = token.is_object() && token.contains("id") && token["id"].is_number_unsigned() &&
                      token.contains("content") && token["content"].is_string();
    if (!fits) refuse(ErrorCode::kInvalid, hf, "added_tokens: expected objects with id and content");
    if (token["id"].get<uint64_t>() >= texts.size()) {
      added.emplace_back(token["id"].get<uint64_t>(), token["content"].get<std::string>());
    }
  }
  std::sort(added.begin(), added.end());
  for (const auto& [id, text] : added) {
    if (id != texts.size() || text.empty()) {
      refuse(ErrorCode::kUnsupported, hf,
             fmt::format("added_tokens: {}: id {}, expected {}: a .t file has no gaps and no empty token",
                         quoted_name(text), id, texts.size()));
    }
    texts.push_back(text);
  }
}

// The rule that gives exactly the merges of tokenizer.json, if one does.
std::optional<std::string_view> fitting_rule(const Json& model, const std::vector<std::string>& texts,
                                             const std::vector<std::string_view>& bytes, std::string_view source) {
  if (!model.contains("merges") || !model["merges"].is_array()) return std::nullopt;
  const Json& merges = model["merges"];
  if (std::any_of(bytes.begin(), bytes.end(), [](std::string_view token) { return token.size() > 1024; })) {
    return std::nullopt;
  }
  const auto equals = [&](const std::pair<int32_t, int32_t>& merge, const Json& written) {
    const std::string& left = texts[static_cast<size_t>(merge.first)];
    const std::string& right = texts[static_cast<size_t>(merge.second)];
    // Merges as "a b" are the older spelling; they come back as pairs, which mean the same.
    if (written.is_string()) return written.get_ref<const std::string&>() == left + " " + right;
    return written.is_array() && written.size() == 2 && written[0] == left && written[1] == right;
  };
  for (const auto& [name, rule] :
       {std::pair{kAllSplits, MergeRule::kAllSplits}, std::pair{kByRank, MergeRule::kByRank}}) {
    const auto found = merges_of_tokens(bytes, rule, source);
    if (found.size() == merges.size() && std::equal(found.begin(), found.end(), merges.begin(), equals)) return name;
  }
  return std::nullopt;
}

// Takes vocab and merges out of `json`, and says in the extension how to put them back.
Json make_extension(Json json, const std::vector<std::string>& texts, size_t vocab_size, const DllamaTokenizer& out,
                    std::string_view source) {
  Json extension;
  extension["vocab_size"] = vocab_size;
  Json others = Json::array();
  std::vector<std::string_view> bytes;
  for (size_t id = 0; id < vocab_size; ++id) {
    const bool spelt = to_chars(out.tokens[id].bytes) == texts[id];
    bytes.push_back(spelt ? std::string_view(out.tokens[id].bytes) : std::string_view());
    if (!spelt) others.push_back({id, texts[id]});
  }
  if (!others.empty()) extension["tokens"] = std::move(others);
  Json& model = json["model"];
  if (const auto rule = fitting_rule(model, texts, bytes, source)) {
    extension["merges"] = *rule;
    model.erase("merges");
  }
  model.erase("vocab");
  extension["tokenizer"] = std::move(json);
  return extension;
}

// The content of a special token in tokenizer_config.json: a string, or an object with "content".
std::optional<std::string> token_text(const Json& config, const char* name) {
  if (!config.is_object() || !config.contains(name)) return std::nullopt;
  const Json& token = config[name];
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return token["content"].get<std::string>();
  }
  return std::nullopt;
}

int32_t checked_id(int64_t id, std::string_view name, const std::vector<std::string>& texts,
                   const HfTokenizerText& hf) {
  if (id < 0 || id >= static_cast<int64_t>(texts.size())) {
    refuse(ErrorCode::kInvalid, hf, fmt::format("{} {}: expected the id of one of {} tokens", name, id, texts.size()));
  }
  return static_cast<int32_t>(id);
}

// Whether text gets the bos token put before it.
bool adds_bos(const Json& json, const Json& config) {
  if (config.is_object() && config.contains("add_bos_token") && config["add_bos_token"].is_boolean()) {
    return config["add_bos_token"].get<bool>();
  }
  return json.contains("post_processor") &&
         dump_json(json["post_processor"]).find("\"TemplateProcessing\"") != std::string::npos;
}

// Sets bos_id and add_bos; says in the extension if the model has no bos token.
void put_bos(DllamaTokenizer& out, Json& extension, const std::vector<std::string>& texts, const Json& config,
             const HfTokenizerText& hf) {
  std::optional<int32_t> bos = hf.bos_token_id;
  if (const auto text = token_text(config, "bos_token"); !bos && text) {
    const auto it = std::find(texts.begin(), texts.end(), *text);
    if (it != texts.end()) bos = static_cast<int32_t>(it - texts.begin());
  }
  if (bos) {
    out.bos_id = checked_id(*bos, "bos_token_id", texts, hf);
    out.add_bos = adds_bos(extension["tokenizer"], config);
    return;
  }
  extension["no_bos_token"] = true;
  const auto vocab_size = extension["vocab_size"].get<size_t>();
  if (vocab_size < texts.size()) out.bos_id = static_cast<int32_t>(vocab_size);
  out.add_bos = false;
}

// The chat template goes where Distributed Llama looks for it, and not into the extension as well.
void put_template(DllamaTokenizer& out, Json& config, std::string_view chat_template) {
  const bool has = config.is_object() && config.contains("chat_template") && config["chat_template"].is_string();
  if (!chat_template.empty()) {
    out.chat_template = std::string(chat_template);
  } else if (has) {
    out.chat_template = config["chat_template"].get<std::string>();
  }
  if (has && config["chat_template"] == *out.chat_template) config.erase("chat_template");
}

}  // namespace

std::string tokenizer_json_of(const DllamaTokenizer& tokenizer, std::string_view file) {
  if (!tokenizer.extension) return known_tokenizer_json(tokenizer, file);
  return extended_tokenizer_json(tokenizer, parse_extension(tokenizer, file), file);
}

std::optional<std::string> tokenizer_config_json_of(const DllamaTokenizer& tokenizer, std::string_view file) {
  if (!tokenizer.extension) return known_tokenizer_config_json(tokenizer);
  return field_text(parse_extension(tokenizer, file), "tokenizer_config");
}

std::optional<std::string> generation_config_json_of(const DllamaTokenizer& tokenizer, std::string_view file) {
  if (!tokenizer.extension) return std::nullopt;
  return field_text(parse_extension(tokenizer, file), "generation_config");
}

std::optional<int32_t> bos_token_id_of(const DllamaTokenizer& tokenizer, std::string_view file) {
  if (tokenizer.extension && parse_extension(tokenizer, file).contains("no_bos_token")) return std::nullopt;
  return tokenizer.bos_id;
}

DllamaTokenizer dllama_tokenizer_of(const HfTokenizerText& hf) {
  Json json = parse_json(hf.tokenizer_json, hf.source);
  if (!json.is_object() || !json.contains("model")) refuse(ErrorCode::kInvalid, hf, "expected an object with model");
  std::vector<std::string> texts = vocab_texts(json["model"], hf);
  const size_t vocab_size = texts.size();
  add_tokens(json, hf, texts);
  DllamaTokenizer out;
  for (size_t id = 0; id < texts.size(); ++id) {
    out.tokens.push_back({.score = -static_cast<float>(id), .bytes = to_bytes(texts[id])});
  }
  Json config;
  if (!hf.tokenizer_config_json.empty()) {
    config = parse_json(hf.tokenizer_config_json, fmt::format("{}: tokenizer_config.json", hf.source));
  }
  Json extension = make_extension(std::move(json), texts, vocab_size, out, hf.source);
  put_bos(out, extension, texts, config, hf);
  put_template(out, config, hf.chat_template);
  if (config.is_object()) extension["tokenizer_config"] = std::move(config);
  if (!hf.generation_config_json.empty()) {
    extension["generation_config"] =
        parse_json(hf.generation_config_json, fmt::format("{}: generation_config.json", hf.source));
  }
  for (const int32_t id : hf.eos_token_id) out.eos_ids.push_back(checked_id(id, "eos_token_id", texts, hf));
  out.extension = dump_json(extension);
  return out;
}

}  // namespace glimmer
