// From tokenizer.json to the keys of GGUF.
#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/json.h"
#include "base/quoted_name.h"
#include "source/gguf_pre_type.h"
#include "source/gguf_tokenizer.h"

namespace glimmer {
namespace {

using simdjson::dom::element;

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

// Keeps what the views of a GgufTokenizer point into. Addresses never change.
class TextStore {
 public:
  TextStore(std::string_view json, std::string_view source) : json_(json) {
    const simdjson::padded_string padded(json_);
    simdjson::error_code error = parser_.allocate(padded.size(), kMaxJsonDepth);
    if (error == simdjson::SUCCESS) error = parser_.parse(padded).get(root_);
    if (error != simdjson::SUCCESS) {
      fail(ErrorCode::kInvalid, "{}: not a JSON document: {}", source, simdjson::error_message(error));
    }
  }

  std::string_view json() const { return json_; }
  element root() const { return root_; }

  std::string_view keep(std::string_view a, std::string_view b = "", std::string_view c = "") {
    const size_t size = a.size() + b.size() + c.size();
    if (size > left_) {
      left_ = std::max(size, kBlockBytes);
      blocks_.push_back(std::make_unique<char[]>(left_));
      next_ = blocks_.back().get();
    }
    char* const begin = next_;
    for (const std::string_view part : {a, b, c}) next_ = std::copy(part.begin(), part.end(), next_);
    left_ -= size;
    return {begin, size};
  }

 private:
  static constexpr size_t kBlockBytes = size_t{1} << 20;
  std::string json_;
  simdjson::dom::parser parser_;  // holds the strings of the document
  element root_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

// tokenizer.json with the name that messages give it.
struct Document {
  element root;
  std::string_view source;

  [[noreturn]] void malformed(std::string_view path, std::string_view expected) const {
    fail(ErrorCode::kInvalid, "{}: {}: expected {}", source, path, expected);
  }
  [[noreturn]] void no_words(std::string_view path, std::string_view found, std::string_view known) const {
    fail(ErrorCode::kUnsupported, "{}: {}: {}, which a GGUF file cannot say; known {}", source, path, found, known);
  }
};

// A member, or null if it is missing.
element member(element object, std::string_view name) {
  static simdjson::dom::parser parser;
  static const element kNull = parser.parse(std::string_view("null")).value();
  element value;
  if (object.is_object() && object.at_key(name).get(value) == simdjson::SUCCESS) return value;
  return kNull;
}

bool is_null(element value) { return value.is_null(); }

std::string_view text_or(element value, std::string_view otherwise) {
  std::string_view text;
  return value.get(text) == simdjson::SUCCESS ? text : otherwise;
}

bool is_true(element value) {
  bool truth = false;
  return value.get(truth) == simdjson::SUCCESS && truth;
}

std::string_view type_of(element value) { return text_or(member(value, "type"), ""); }

// The parts of a Sequence, parts of Sequences in it among them; what is none is a list of itself, null one of nothing.
std::vector<element> flattened(const Document& document, element value, std::string_view list_name,
                               std::string_view path) {
  if (is_null(value)) return {};
  if (type_of(value) != "Sequence") return {value};
  simdjson::dom::array list;
  if (member(value, list_name).get(list) != simdjson::SUCCESS) {
    document.malformed(path, fmt::format("a Sequence with an array \"{}\"", list_name));
  }
  std::vector<element> parts;
  for (const element part : list) {
    const std::vector<element> inner = flattened(document, part, list_name, path);
    parts.insert(parts.end(), inner.begin(), inner.end());
  }
  return parts;
}

// ---- the pieces

struct PieceRules {
  std::string_view split;
  bool digits = false;
  bool byte_level_regex = false;
};

PieceRules piece_rules(const Document& document) {
  constexpr std::string_view kKnown = "are Split by one of the known expressions, Digits, and ByteLevel behind them";
  const std::string_view path = "pre_tokenizer";
  PieceRules rules;
  bool byte_level = false;
  for (const element part : flattened(document, member(document.root, path), "pretokenizers", path)) {
    const std::string_view type = type_of(part);
    const bool first = !byte_level && !rules.digits && rules.split.empty();
    if (type == "ByteLevel" && !byte_level) {
      if (is_true(member(part, "add_prefix_space"))) {
        document.no_words(path, "ByteLevel with add_prefix_space", "is it without");
      }
      byte_level = true;
      rules.byte_level_regex = is_null(member(part, "use_regex")) || is_true(member(part, "use_regex"));
    } else if (type == "Digits" && first && is_true(member(part, "individual_digits"))) {
      rules.digits = true;
    } else if (type == "Split" && first && text_or(member(part, "behavior"), "") == "Isolated" &&
               !is_true(member(part, "invert"))) {
      rules.split = text_or(member(member(part, "pattern"), "Regex"), "");
      if (rules.split.empty()) document.no_words(path, "Split by a string", kKnown);
    } else {
      document.no_words(path, quoted_name(simdjson::minify(part)), kKnown);
    }
  }
  if (!byte_level) document.no_words(path, "no ByteLevel", kKnown);
  return rules;
}

bool is_glm(std::string_view model_type) { return model_type == "chatglm" || model_type.starts_with("glm"); }

bool same_pieces(const GgufPreType& type, const PieceRules& rules) {
  return type.split == rules.split && type.digits == rules.digits && rules.byte_level_regex == type.split.empty();
}

// ---- tokens and merges

// Converters take such added tokens for control tokens whatever their flag says.
bool looks_special(std::string_view token) {
  const auto between = [&](std::string_view first, std::string_view last) {
    return token.size() >= first.size() + last.size() && token.starts_with(first) && token.ends_with(last);
  };
  return between("<|", "|>") || between("<｜", "｜>") || between("<unused", ">") || token == "<pad>" ||
         token == "<mask>" || token == "<2mass>" || token == "[@BOS@]";
}

struct Vocabulary {
  std::vector<std::string_view> tokens;
  std::vector<int64_t> types;  // 0: no token yet
  std::unordered_map<std::string_view, int64_t> ids;

  std::optional<int64_t> find(std::string_view token) const {
    const auto found = ids.find(token);
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  }
};

void put_token(const Document& document, Vocabulary& vocabulary, std::string_view token, element id_value,
               int64_t type) {
  int64_t id = -1;
  if (id_value.get(id) != simdjson::SUCCESS || id < 0) {
    document.malformed(fmt::format("the id of {}", quoted_name(token)), "a number of at least 0");
  }
  if (id >= static_cast<int64_t>(vocabulary.tokens.size())) {
    fail(ErrorCode::kInvalid, "{}: {} has the id {}, but vocab_size is {}", document.source, quoted_name(token), id,
         vocabulary.tokens.size());
  }
  const auto at = static_cast<size_t>(id);
  const bool taken = vocabulary.types[at] != 0 && (type == kNormal || vocabulary.tokens[at] != token);
  if (taken) {
    fail(ErrorCode::kInvalid, "{}: {} has the id {}, which is that of {}", document.source, quoted_name(token), id,
         quoted_name(vocabulary.tokens[at]));
  }
  if (const auto [other, is_new] = vocabulary.ids.emplace(token, id); !is_new && other->second != id) {
    fail(ErrorCode::kInvalid, "{}: {} has the ids {} and {}", document.source, quoted_name(token), other->second, id);
  }
  vocabulary.tokens[at] = token;
  vocabulary.types[at] = type;
}

void read_added_tokens(const Document& document, Vocabulary& vocabulary) {
  const element added = member(document.root, "added_tokens");
  if (is_null(added)) return;
  simdjson::dom::array list;
  if (added.get(list) != simdjson::SUCCESS) document.malformed("added_tokens", "an array");
  for (const element token : list) {
    const std::string_view content = text_or(member(token, "content"), "");
    if (content.empty()) document.malformed("added_tokens", "a content in each");
    const bool control = is_true(member(token, "special")) || looks_special(content);
    put_token(document, vocabulary, content, member(token, "id"), control ? kControl : kUserDefined);
  }
}

Vocabulary read_vocabulary(const Document& document, int64_t vocab_size, TextStore& store) {
  constexpr int64_t kMaxTokens = int64_t{1} << 22;
  if (vocab_size < 1 || vocab_size > kMaxTokens) {
    fail(ErrorCode::kInvalid, "{}: vocab_size is {}; expected 1 to {}", document.source, vocab_size, kMaxTokens);
  }
  Vocabulary vocabulary;
  vocabulary.tokens.resize(static_cast<size_t>(vocab_size));
  vocabulary.types.resize(static_cast<size_t>(vocab_size));
  vocabulary.ids.reserve(static_cast<size_t>(vocab_size));
  simdjson::dom::object vocab;
  if (member(member(document.root, "model"), "vocab").get(vocab) != simdjson::SUCCESS) {
    document.malformed("model.vocab", "an object");
  }
  for (const auto field : vocab) put_token(document, vocabulary, field.key, field.value, kNormal);
  read_added_tokens(document, vocabulary);
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != 0) continue;
    vocabulary.types[id] = kUnused;
    vocabulary.tokens[id] = store.keep(fmt::format("[PAD{}]", id));
  }
  return vocabulary;
}

std::string_view read_merge(const Document& document, element value, size_t index, TextStore& store) {
  const auto path = [&] { return fmt::format("model.merges[{}]", index); };
  constexpr std::string_view kExpected = "two tokens, or one text of them with a space between";
  if (value.is_string()) {
    const std::string_view text = value.get_string().value_unsafe();
    if (std::count(text.begin(), text.end(), ' ') != 1) document.malformed(path(), kExpected);
    return text;
  }
  simdjson::dom::array pair;
  if (value.get(pair) != simdjson::SUCCESS || pair.size() != 2) document.malformed(path(), kExpected);
  const std::string_view left = text_or(*pair.begin(), "");
  const std::string_view right = text_or(*++pair.begin(), "");
  if (left.empty() || right.empty()) document.malformed(path(), kExpected);
  if (left.find(' ') != left.npos || right.find(' ') != right.npos) {
    document.no_words(path(), "a token with a space in it", "are tokens without");
  }
  return store.keep(left, " ", right);
}

std::vector<std::string_view> read_merges(const Document& document, TextStore& store) {
  simdjson::dom::array list;
  if (member(member(document.root, "model"), "merges").get(list) != simdjson::SUCCESS) {
    document.malformed("model.merges", "an array");
  }
  std::vector<std::string_view> merges;
  merges.reserve(list.size());
  size_t index = 0;
  for (const element value : list) {
    const bool version = text_or(value, "").starts_with("#version");
    if (!version) merges.push_back(read_merge(document, value, index, store));
    ++index;
  }
  return merges;
}

// ---- which pre type

// Whether merging makes of every token that token: then ignore_merges changes nothing.
class MergeReplay {
 public:
  MergeReplay(const std::vector<std::string_view>& merges) {
    ranks_.reserve(merges.size());
    for (size_t rank = 0; rank < merges.size(); ++rank) ranks_.insert_or_assign(merges[rank], rank);
  }

  bool makes(std::string_view token) {
    constexpr size_t kMaxSymbols = 512;  // of a token; the time is quadratic
    ends_.clear();
    for (size_t at = 1; at <= token.size(); ++at) {
      if (at == token.size() || (static_cast<unsigned char>(token[at]) & 0xC0) != 0x80) ends_.push_back(at);
    }
    if (ends_.size() > kMaxSymbols) return false;
    while (ends_.size() > 1) {
      if (!merge_once(token)) return false;
    }
    return true;
  }

 private:
  bool merge_once(std::string_view token) {
    size_t best_rank = SIZE_MAX;
    size_t best = 0;
    for (size_t i = 0, begin = 0; i + 1 < ends_.size(); begin = ends_[i++]) {
      pair_.assign(token, begin, ends_[i] - begin).append(" ").append(token, ends_[i], ends_[i + 1] - ends_[i]);
      const auto found = ranks_.find(pair_);
      if (found == ranks_.end() || found->second >= best_rank) continue;
      best_rank = found->second;
      best = i;
    }
    if (best_rank == SIZE_MAX) return false;
    ends_.erase(ends_.begin() + static_cast<std::ptrdiff_t>(best));
    return true;
  }

  std::unordered_map<std::string_view, size_t> ranks_;
  std::vector<size_t> ends_;  // of the symbols
  std::string pair_;
};

bool merges_make_every_token(const GgufTokenizer& gguf) {
  MergeReplay replay(gguf.merges);
  for (size_t id = 0; id < gguf.tokens.size(); ++id) {
    if (gguf.token_type[id] == kNormal && !replay.makes(gguf.tokens[id])) return false;
  }
  return true;
}

// `gguf` has its tokens and merges.
const GgufPreType& pre_type_of(const Document& document, std::string_view model_type, const GgufTokenizer& gguf) {
  const PieceRules rules = piece_rules(document);
  const bool ignore_merges = is_true(member(member(document.root, "model"), "ignore_merges"));
  const GgufPreType* other = nullptr;  // that splits alike, but differs in ignore_merges
  for (const GgufPreType& type : gguf_pre_types()) {
    if (!same_pieces(type, rules) || (type.glm && !is_glm(model_type))) continue;
    if (type.glm && (type.name == "chatglm-bpe") != (model_type == "chatglm")) continue;
    if (type.ignore_merges == ignore_merges) return type;
    if (other == nullptr) other = &type;
  }
  if (other != nullptr) {
    if (merges_make_every_token(gguf)) return *other;
    document.no_words("model.ignore_merges",
                      fmt::format("{}, with this pre_tokenizer and tokens that merges do not make", ignore_merges),
                      fmt::format("is {}", !ignore_merges));
  }
  const std::string known = fmt::format("are those of tokenizer.ggml.pre {}", known_gguf_pre_types());
  if (!rules.split.empty()) {
    document.no_words("pre_tokenizer", fmt::format("Split by the regular expression {}", rules.split), known);
  }
  document.no_words("pre_tokenizer",
                    rules.digits ? "Digits without GPT-2's expression" : "ByteLevel without expression", known);
}

// ---- the rest of tokenizer.json

void check_model(const Document& document) {
  const element model = member(document.root, "model");
  if (!model.is_object()) document.malformed("model", "an object");
  const std::string_view type = text_or(member(model, "type"), "BPE");
  if (type != "BPE") document.no_words("model.type", quoted_name(type), "is BPE");
  if (is_true(member(model, "byte_fallback"))) document.no_words("model.byte_fallback", "true", "is false");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const std::string_view text = text_or(member(model, affix), "");
    if (!text.empty()) document.no_words(fmt::format("model.{}", affix), quoted_name(text), "is none");
  }
}

void check_normalizer(const Document& document, const GgufPreType& type) {
  for (const element part : flattened(document, member(document.root, "normalizer"), "normalizers", "normalizer")) {
    if (type.nfc && type_of(part) == "NFC") continue;
    document.no_words("normalizer", quoted_name(type_of(part)), "is null, and NFC with Qwen2's pre_tokenizer");
  }
}

void check_decoder(const Document& document) {
  for (const element part : flattened(document, member(document.root, "decoder"), "decoders", "decoder")) {
    if (type_of(part) == "ByteLevel") return;
  }
  document.no_words("decoder", "no ByteLevel", "is ByteLevel");
}

struct Affixes {
  std::string_view bos, eos;  // empty: none is put there
};

Affixes read_template(const Document& document, element processor) {
  constexpr std::string_view kPath = "post_processor";
  simdjson::dom::array single;
  if (member(processor, "single").get(single) != simdjson::SUCCESS) {
    document.malformed(kPath, "a TemplateProcessing with an array \"single\"");
  }
  Affixes affixes;
  bool text_seen = false;
  for (const element piece : single) {
    const std::string_view token = text_or(member(member(piece, "SpecialToken"), "id"), "");
    std::string_view& place = text_seen ? affixes.eos : affixes.bos;
    if (token.empty() && !text_seen && !is_null(member(piece, "Sequence"))) {
      text_seen = true;
    } else if (!token.empty() && place.empty()) {
      place = token;
    } else {
      document.no_words(kPath, "more than one token before or behind the text", "is one");
    }
  }
  if (!text_seen) document.malformed(kPath, "a Sequence in \"single\"");
  return affixes;
}

Affixes read_post_processor(const Document& document) {
  constexpr std::string_view kPath = "post_processor";
  Affixes affixes;
  bool any = false;
  for (const element part : flattened(document, member(document.root, kPath), "processors", kPath)) {
    if (type_of(part) == "ByteLevel") continue;
    if (type_of(part) != "TemplateProcessing" || any) {
      document.no_words(kPath, quoted_name(type_of(part)), "are ByteLevel and one TemplateProcessing");
    }
    any = true;
    affixes = read_template(document, part);
  }
  return affixes;
}

// ---- special ids

// The content of bos_token, ... in tokenizer_config.json: a string, or an object with "content".
std::optional<int64_t> config_token(const Json& config, const char* field, const Vocabulary& vocabulary) {
  if (!config.contains(field)) return std::nullopt;
  const Json* token = &config[field];
  if (token->is_object() && token->contains("content")) token = &(*token)["content"];
  return token->is_string() ? vocabulary.find(token->get<std::string>()) : std::nullopt;
}

std::optional<int64_t> require_affix(const Document& document, const Vocabulary& vocabulary, std::string_view token) {
  const auto id = vocabulary.find(token);
  if (!id) document.malformed("post_processor", fmt::format("a token of the vocabulary, found {}", quoted_name(token)));
  return id;
}

// eos, eot and eom are the three places for ids that end a turn.
void place_end_ids(const HfTokenizer& hf, GgufTokenizer& gguf) {
  std::vector<int32_t> left;
  for (const int32_t id : hf.eos_token_id) {
    const bool in_range = id >= 0 && id < hf.vocab_size;
    if (!in_range) {
      fail(ErrorCode::kInvalid, "{}: eos_token_id {} is outside [0, {}) (vocab_size)", hf.source, id, hf.vocab_size);
    }
    if (!gguf.eos) gguf.eos = id;
    if (gguf.eos != id && gguf.eot != id && gguf.eom != id) left.push_back(id);
  }
  auto next = left.begin();
  for (std::optional<int64_t>* place : {&gguf.eot, &gguf.eom}) {
    if (!*place && next != left.end()) *place = *next++;
  }
  if (next == left.end()) return;
  gguf.losses.push_back(fmt::format("eos_token_id {}: GGUF has room for three ids that end a turn",
                                    fmt::join(std::vector<int32_t>(next, left.end()), ", ")));
}

void set_special_ids(const Document& document, const HfTokenizer& hf, const GgufPreType& type,
                     const Vocabulary& vocabulary, GgufTokenizer& gguf) {
  Json config = Json::object();
  if (!hf.tokenizer_config_json.empty()) {
    const std::string name = fmt::format("{} (tokenizer_config.json)", hf.source);
    config = parse_json(hf.tokenizer_config_json, name);
    if (!config.is_object()) fail(ErrorCode::kInvalid, "{}: expected an object, found {}", name, config.type_name());
  }
  gguf.bos = config_token(config, "bos_token", vocabulary);
  gguf.eos = config_token(config, "eos_token", vocabulary);
  gguf.unknown = config_token(config, "unk_token", vocabulary);
  gguf.padding = config_token(config, "pad_token", vocabulary);
  const Affixes affixes = read_post_processor(document);
  if (!affixes.bos.empty()) gguf.bos = require_affix(document, vocabulary, affixes.bos);
  if (!affixes.eos.empty()) gguf.eos = require_affix(document, vocabulary, affixes.eos);
  if (!affixes.bos.empty() || type.adds_bos) gguf.add_bos = !affixes.bos.empty();
  if (!affixes.eos.empty()) gguf.add_eos = true;
  if (is_glm(hf.model_type)) {
    const bool moe = hf.model_type.starts_with("glm4_moe") || hf.model_type == "glm_moe_dsa";
    if (!gguf.bos) gguf.bos = vocabulary.find(moe ? "[gMASK]" : "<|endoftext|>");
    if (!gguf.eos) gguf.eos = vocabulary.find("<|endoftext|>");
    if (!gguf.unknown) gguf.unknown = vocabulary.find("<|endoftext|>");
    gguf.eot = vocabulary.find("<|user|>");
    gguf.eom = vocabulary.find("<|observation|>");
  }
  place_end_ids(hf, gguf);
}

}  // namespace

GgufTokenizer gguf_tokenizer_of(const HfTokenizer& hf) {
  const auto store = std::make_shared<TextStore>(hf.tokenizer_json, hf.source);
  const Document document{store->root(), hf.source};
  check_model(document);
  GgufTokenizer gguf;
  gguf.model = "gpt2";
  const Vocabulary vocabulary = read_vocabulary(document, hf.vocab_size, *store);
  gguf.tokens = vocabulary.tokens;
  gguf.token_type = vocabulary.types;
  gguf.merges = read_merges(document, *store);
  const GgufPreType& type = pre_type_of(document, hf.model_type, gguf);
  gguf.pre = type.name;
  check_normalizer(document, type);
  check_decoder(document);
  set_special_ids(document, hf, type, vocabulary, gguf);
  gguf.huggingface_json = store->json();
  gguf.chat_template = store->keep(hf.chat_template);
  for (const auto& [name, text] : hf.chat_templates) gguf.chat_templates[name] = store->keep(text);
  gguf.storage = store;
  return gguf;
}

std::vector<GgufKeyValue> gguf_tokenizer_metadata(const GgufTokenizer& gguf) {
  std::vector<GgufKeyValue> out;
  const auto texts = [](const std::vector<std::string_view>& views) {
    return std::vector<std::string>(views.begin(), views.end());
  };
  const auto id = [&](std::string_view name, std::optional<int64_t> value) {
    if (value) out.push_back({fmt::format("tokenizer.ggml.{}_token_id", name), static_cast<uint32_t>(*value)});
  };
  const auto flag = [&](std::string_view key, std::optional<bool> value) {
    if (value) out.push_back({std::string(key), *value});
  };
  out.push_back({"tokenizer.ggml.model", std::string(gguf.model)});
  if (gguf.pre) out.push_back({"tokenizer.ggml.pre", std::string(*gguf.pre)});
  out.push_back({"tokenizer.ggml.tokens", texts(gguf.tokens)});
  out.push_back({"tokenizer.ggml.token_type", std::vector<int32_t>(gguf.token_type.begin(), gguf.token_type.end())});
  out.push_back({"tokenizer.ggml.merges", texts(gguf.merges)});
  id("bos", gguf.bos);
  id("eos", gguf.eos);
  id("unknown", gguf.unknown);
  id("padding", gguf.padding);
  id("eot", gguf.eot);
  id("eom", gguf.eom);
  flag("tokenizer.ggml.add_bos_token", gguf.add_bos);
  flag("tokenizer.ggml.add_eos_token", gguf.add_eos);
  flag("tokenizer.ggml.add_space_prefix", gguf.add_space_prefix);
  if (!gguf.chat_template.empty()) out.push_back({"tokenizer.chat_template", std::string(gguf.chat_template)});
  for (const auto& [name, text] : gguf.chat_templates) {
    out.push_back({fmt::format("tokenizer.chat_template.{}", name), std::string(text)});
  }
  if (!gguf.huggingface_json.empty()) {
    out.push_back({"tokenizer.huggingface.json", std::string(gguf.huggingface_json)});
  }
  return out;
}

}  // namespace glimmer
