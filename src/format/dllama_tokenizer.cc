#include "format/dllama_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/check.h"
#include "base/error.h"

namespace glimmer {
namespace {

constexpr uint32_t kMagic = 0x00567124;
constexpr uint32_t kOldMagic = 0x00567123;
constexpr uint32_t kExtensionMagic = 0x544D4C47;  // "GLMT"
constexpr int64_t kFixedBytes = 8;
constexpr int64_t kTokenBytes = 8;  // before a token's own
constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

enum Key : int32_t {
  kVersion = 0,
  kVocabSize = 1,
  kMaxTokenLength = 2,
  kBosId = 3,
  kEosId = 4,  // of old, as is kChatEosId
  kPadId = 5,
  kChatEosId = 6,
  kChatTemplate = 7,
  kChatStop = 8,
  kNEosTokens = 9,
  kAddBos = 10,
};
constexpr const char* kKeyNames[] = {"version",   "vocab_size",   "max_token_length", "bos_id",
                                     "eos_id",    "pad_id",       "chat_eos_id",      "chat_template",
                                     "chat_stop", "n_eos_tokens", "add_bos"};

class Cursor {
 public:
  Cursor(std::span<const std::byte> file, std::string_view name) : file_(file), name_(name) {}

  size_t left() const { return file_.size() - at_; }

  template <typename T>
  T take(std::string_view what) {
    T value;
    std::memcpy(&value, bytes(sizeof value, what).data(), sizeof value);
    return value;
  }

  std::span<const std::byte> bytes(int64_t count, std::string_view what) {
    if (count < 0 || static_cast<uint64_t>(count) > left()) {
      fail(ErrorCode::kInvalid, "{}: {}: {} bytes at byte {}, but {} are left of the file; it is truncated or damaged",
           name_, what, count, at_, left());
    }
    const auto taken = file_.subspan(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return taken;
  }

  std::string text(int64_t count, std::string_view what) {
    const auto taken = bytes(count, what);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  std::span<const std::byte> file_;
  std::string_view name_;
  size_t at_ = 0;
};

class Reader {
 public:
  Reader(std::span<const std::byte> file, std::string_view name) : in_(file, name), name_(name) {}

  DllamaTokenizer read() {
    read_header();
    const int64_t vocab_size = require(kVocabSize, 1, kMaxInt);
    if (static_cast<uint64_t>(vocab_size) > in_.left() / (kTokenBytes + 1)) {
      fail(ErrorCode::kInvalid, "{}: header key 1 (vocab_size): {} tokens do not fit the {} bytes behind the header",
           name_, vocab_size, in_.left());
    }
    DllamaTokenizer out;
    if (const auto id = find(kBosId, -1, vocab_size - 1); id && *id >= 0) out.bos_id = static_cast<int32_t>(*id);
    for (const Key old : {kEosId, kChatEosId}) {
      if (const auto id = find(old, 0, vocab_size - 1)) out.eos_ids.push_back(static_cast<int32_t>(*id));
    }
    if (const auto add = find(kAddBos, 0, 1)) out.add_bos = *add == 1;
    find(kPadId, std::numeric_limits<int32_t>::min(), kMaxInt);
    in_.bytes(find(kChatStop, 0, kMaxInt).value_or(0), "chat_stop");
    if (const auto size = find(kChatTemplate, 0, kMaxInt); size && *size > 0) {
      out.chat_template = in_.text(*size, "chat_template");
    }
    read_eos_ids(out, vocab_size);
    read_tokens(out, vocab_size);
    read_extension(out);
    return out;
  }

 private:
  void read_header() {
    const auto magic = in_.take<uint32_t>("magic");
    if (magic == kOldMagic) {
      fail(ErrorCode::kUnsupported, "{}: magic 0x{:06X}: a tokenizer file of old; convert the tokenizer anew", name_,
           magic);
    }
    if (magic != kMagic) {
      fail(ErrorCode::kInvalid, "{}: magic 0x{:08X}, expected 0x{:08X} of a Distributed Llama tokenizer", name_, magic,
           kMagic);
    }
    const int64_t size = in_.take<int32_t>("header size");
    if (size < kFixedBytes || (size - kFixedBytes) % 8 != 0) {
      fail(ErrorCode::kInvalid, "{}: header size {}, expected 8 and 8 more for each key", name_, size);
    }
    Cursor pairs(in_.bytes(size - kFixedBytes, "header"), name_);
    while (pairs.left() > 0) {
      const auto key = pairs.take<int32_t>("key");
      const auto value = pairs.take<int32_t>("value");
      if (key < 0 || key > kAddBos) fail(ErrorCode::kInvalid, "{}: header key {} is not known", name_, key);
      if (!values_.emplace(key, value).second) fail(ErrorCode::kInvalid, "{}: {} appears twice", name_, label(key));
    }
    if (find(kVersion, std::numeric_limits<int32_t>::min(), kMaxInt).value_or(-1) != 1) {
      fail(ErrorCode::kUnsupported, "{}: {}: expected 1; convert the tokenizer anew", name_, label(kVersion));
    }
  }

  static std::string label(int32_t key) { return fmt::format("header key {} ({})", key, kKeyNames[key]); }

  std::optional<int64_t> find(int32_t key, int64_t low, int64_t high) const {
    const auto it = values_.find(key);
    if (it == values_.end()) return std::nullopt;
    if (it->second < low || it->second > high) {
      fail(ErrorCode::kInvalid, "{}: {}: {}, expected {} to {}", name_, label(key), it->second, low, high);
    }
    return it->second;
  }

  int64_t require(int32_t key, int64_t low, int64_t high) const {
    const auto value = find(key, low, high);
    if (!value) fail(ErrorCode::kInvalid, "{}: {} is missing", name_, label(key));
    return *value;
  }

  void read_eos_ids(DllamaTokenizer& out, int64_t vocab_size) {
    const int64_t count = find(kNEosTokens, 0, 1024).value_or(0);
    for (int64_t i = 0; i < count; ++i) {
      const auto id = in_.take<int32_t>("eos ids");
      if (id < 0 || id >= vocab_size) {
        fail(ErrorCode::kInvalid, "{}: eos id {}: {}, expected 0 to {}", name_, i, id, vocab_size - 1);
      }
      out.eos_ids.push_back(id);
    }
  }

  void read_tokens(DllamaTokenizer& out, int64_t vocab_size) {
    const int64_t longest = require(kMaxTokenLength, 1, kMaxInt);
    out.tokens.reserve(static_cast<size_t>(vocab_size));
    for (int64_t id = 0; id < vocab_size; ++id) {
      DllamaTokenizer::Token token;
      token.score = in_.take<float>("tokens");
      const int64_t size = in_.take<uint32_t>("tokens");
      if (!std::isfinite(token.score)) fail(ErrorCode::kInvalid, "{}: token {}: the score is no number", name_, id);
      if (size < 1 || size > longest) {
        fail(ErrorCode::kInvalid, "{}: token {}: {} bytes, expected 1 to max_token_length {}", name_, id, size,
             longest);
      }
      token.bytes = in_.text(size, "tokens");
      out.tokens.push_back(std::move(token));
    }
  }

  void read_extension(DllamaTokenizer& out) {
    if (in_.left() == 0) return;
    if (in_.left() < 8 || in_.take<uint32_t>("extension") != kExtensionMagic) {
      fail(ErrorCode::kInvalid, "{}: bytes behind the last token, expected the end of the file or Glimmer's extension",
           name_);
    }
    out.extension = in_.text(in_.take<uint32_t>("extension"), "extension");
    if (in_.left() != 0) fail(ErrorCode::kInvalid, "{}: {} bytes behind the extension", name_, in_.left());
  }

  Cursor in_;
  std::string_view name_;
  std::map<int32_t, int32_t> values_;
};

class Writer {
 public:
  template <typename T>
  void put(T value) {
    text({reinterpret_cast<const char*>(&value), sizeof value});
  }
  void pair(int32_t key, size_t value) {
    GLIMMER_CHECK(value <= static_cast<size_t>(kMaxInt), "{}: {}", kKeyNames[key], value);
    put(key);
    put(static_cast<int32_t>(value));
  }
  void text(std::string_view bytes) {
    const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
    out_.insert(out_.end(), data, data + bytes.size());
  }
  void set_header_size() {
    const auto size = static_cast<int32_t>(out_.size());
    std::memcpy(out_.data() + 4, &size, sizeof size);
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

}  // namespace

DllamaTokenizer parse_dllama_tokenizer(std::span<const std::byte> file, std::string_view file_name) {
  return Reader(file, file_name).read();
}

std::vector<std::byte> encode_dllama_tokenizer(const DllamaTokenizer& tokenizer) {
  const auto vocab_size = static_cast<int32_t>(tokenizer.tokens.size());
  size_t longest = 0;
  for (const auto& token : tokenizer.tokens) {
    GLIMMER_CHECK(!token.bytes.empty(), "an empty token");
    longest = std::max(longest, token.bytes.size());
  }
  Writer out;
  out.put(kMagic);
  out.put(uint32_t{0});
  if (tokenizer.bos_id) {
    GLIMMER_CHECK(*tokenizer.bos_id >= 0 && *tokenizer.bos_id < vocab_size, "bos id {}", *tokenizer.bos_id);
    out.pair(kBosId, static_cast<size_t>(*tokenizer.bos_id));
  }
  out.pair(kVersion, 1);
  out.pair(kVocabSize, tokenizer.tokens.size());
  out.pair(kMaxTokenLength, longest);
  const bool has_template = tokenizer.chat_template && !tokenizer.chat_template->empty();
  if (has_template) out.pair(kChatTemplate, tokenizer.chat_template->size());
  out.pair(kNEosTokens, tokenizer.eos_ids.size());
  if (tokenizer.add_bos) out.pair(kAddBos, *tokenizer.add_bos ? 1 : 0);
  out.set_header_size();
  if (has_template) out.text(*tokenizer.chat_template);
  for (const int32_t id : tokenizer.eos_ids) {
    GLIMMER_CHECK(id >= 0 && id < vocab_size, "eos id {}", id);
    out.put(id);
  }
  for (const auto& token : tokenizer.tokens) {
    out.put(token.score);
    out.put(static_cast<uint32_t>(token.bytes.size()));
    out.text(token.bytes);
  }
  if (tokenizer.extension) {
    out.put(kExtensionMagic);
    out.put(static_cast<uint32_t>(tokenizer.extension->size()));
    out.text(*tokenizer.extension);
  }
  return out.take();
}

}  // namespace glimmer
