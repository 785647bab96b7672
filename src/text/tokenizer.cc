#include "text/tokenizer.h"

#include <simdjson.h>

#include <array>
#include <mutex>

#include "base/check.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pre_tokenizer_unicode.h"
#include "text/tokenizer_json.h"

namespace glimmer {
namespace {

// The printable characters that stand for bytes in byte-level vocabularies (GPT-2): a byte that is printable in Latin-1
// stands for itself, the others follow from U+0100.
class ByteAlphabet {
 public:
  ByteAlphabet() {
    byte_of_.fill(-1);
    char32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      byte_of_[printable ? byte : next++] = static_cast<int16_t>(byte);
    }
  }

  // The bytes that `token` stands for; false if a character of it is not in the alphabet.
  bool decode(std::string_view token, std::string& out) const {
    out.clear();
    for (size_t at = 0; at < token.size();) {
      const char32_t c = next_code_point(token, at);
      if (c >= byte_of_.size() || byte_of_[c] < 0) return false;
      out += static_cast<char>(byte_of_[c]);
    }
    return true;
  }

 private:
  std::array<int16_t, 256 + 68> byte_of_;
};

// The vocabulary in bytes. A token with other characters (one that is an added token as well, say) cannot come from
// bytes.
Vocab byte_vocab(const Vocab& vocab) {
  const ByteAlphabet alphabet;
  Vocab out;
  out.reserve(vocab.size(), vocab.size() * 8);
  std::string bytes;
  for (int32_t id = 0; id <= vocab.max_id(); ++id) {
    if (vocab.has(id) && alphabet.decode(vocab.token(id), bytes)) out.insert(bytes, id);
  }
  return out;
}

bool has_every_byte(const Vocab& vocab) {
  for (int i = 0; i < 256; ++i) {
    const char byte = static_cast<char>(i);
    if (vocab.find({&byte, 1}) < 0) return false;
  }
  return true;
}

Bpe build_bpe(TokenizerSpec& spec, std::string_view source) {
  const bool byte_level = spec.pre_tokenizer.byte_level();
  Bpe::Options options{.symbols = byte_level ? Bpe::Symbols::kBytes : Bpe::Symbols::kCharacters,
                       .ignore_merges = spec.ignore_merges,
                       .fuse_unk = spec.fuse_unk};
  Vocab vocab = byte_level ? byte_vocab(spec.vocab) : spec.vocab;
  if (spec.unk_token) {
    options.unk_id = spec.vocab.find(*spec.unk_token);
    if (options.unk_id < 0 && !(byte_level && has_every_byte(vocab))) {  // else nothing is ever unknown
      fail(ErrorCode::kInvalid, "{}: model.unk_token: \"{}\" is not in model.vocab", source, *spec.unk_token);
    }
  }
  return {std::move(vocab), std::move(spec.merges), options};
}

struct Scratch {
  RegexScratch regex;
  BpeScratch bpe;
  std::vector<AddedTokenFinder::Part> parts;
  std::vector<AddedTokenFinder::Part> normalized_parts;
};

// Working memory that outlives a call, so that its caches stay warm; as many as there are concurrent calls.
class ScratchPool {
 public:
  std::unique_ptr<Scratch> take() const {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<Scratch>();
    auto scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give(std::unique_ptr<Scratch> scratch) const {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace

struct Tokenizer::Impl {
  Impl(TokenizerSpec&& spec, std::string_view source)
      : bpe(build_bpe(spec, source)),
        pre_tokenizer(std::move(spec.pre_tokenizer)),
        post_template(std::move(spec.post_template)),
        vocab(std::move(spec.vocab)),
        added(std::move(spec.added_tokens)),
        joins_with_spaces(spec.decoder == TokenizerSpec::Decoder::kJoinWithSpaces) {
    for (const AddedToken& token : added) {
      if (vocab.find(token.content) < 0) vocab.insert(token.content, token.id);
      (token.normalized ? normalized_finder : finder).add(token, token.content);
    }
    finder.finish();
    normalized_finder.finish();
    special.resize(vocab.max_id() + 1);
    for (const AddedToken& token : added) special[token.id] = token.special;
    decode_tokens(spec.decoder == TokenizerSpec::Decoder::kByteLevel);
  }

  void decode_tokens(bool byte_level) {
    const ByteAlphabet alphabet;
    std::string bytes;
    decoded_begin.push_back(0);
    for (int32_t id = 0; id <= vocab.max_id(); ++id) {
      const std::string_view token = vocab.token(id);
      // As the package does: a token with one character outside the alphabet is text as it stands.
      decoded += byte_level && alphabet.decode(token, bytes) ? bytes : token;
      decoded_begin.push_back(static_cast<uint32_t>(decoded.size()));
    }
  }

  void encode_text(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const;
  void encode_segment(std::string_view text, const AddedTokenFinder::SplitOptions& options, Scratch& scratch,
                      std::vector<int32_t>& ids) const;

  Bpe bpe;
  PreTokenizer pre_tokenizer;
  std::vector<int32_t> post_template;
  Vocab vocab;  // the added tokens included
  std::vector<AddedToken> added;
  AddedTokenFinder finder;
  AddedTokenFinder normalized_finder;
  std::vector<bool> special;  // by id
  std::string decoded;        // what decode gives for each id, one after the other
  std::vector<uint32_t> decoded_begin;
  bool joins_with_spaces;
  ScratchPool scratches;
};

void Tokenizer::Impl::encode_text(std::string_view text, const EncodeOptions& options,
                                  std::vector<int32_t>& ids) const {
  std::unique_ptr<Scratch> scratch = scratches.take();
  scratch->parts.clear();
  AddedTokenFinder::SplitOptions split{.parse_special = options.parse_special, .barriers = options.barriers};
  finder.split(text, split, scratch->parts);
  for (const AddedTokenFinder::Part& part : scratch->parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      split.origin = part.begin;
      encode_segment(text.substr(part.begin, part.end - part.begin), split, *scratch, ids);
    }
  }
  scratches.give(std::move(scratch));
}

// Text between added tokens, in which the normalized ones are yet to be found.
void Tokenizer::Impl::encode_segment(std::string_view text, const AddedTokenFinder::SplitOptions& options,
                                     Scratch& scratch, std::vector<int32_t>& ids) const {
  scratch.normalized_parts.clear();
  normalized_finder.split(text, options, scratch.normalized_parts);
  for (const AddedTokenFinder::Part& part : scratch.normalized_parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    pre_tokenizer.run(text.substr(part.begin, part.end - part.begin), scratch.regex,
                      [&](std::string_view piece) { bpe.encode(piece, scratch.bpe, ids); });
  }
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto file = std::filesystem::is_directory(path, error) ? path / "tokenizer.json" : path;
  return from_json(read_file(file), file.string());
}

Tokenizer Tokenizer::from_json(std::string_view text, std::string_view source) {
  return Tokenizer(std::make_unique<const Impl>(parse_tokenizer_json(text, source), source));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::string repaired;
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    GLIMMER_CHECK(options.barriers.empty(), "barriers in text that is not valid UTF-8");
    repaired = to_valid_utf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  impl_->encode_text(text, options, ids);
  const std::vector<int32_t>& pieces = impl_->post_template;
  if (pieces.size() == 1 && pieces.front() == TokenizerSpec::kSequence) return ids;
  std::vector<int32_t> out;
  for (const int32_t piece : pieces) {
    if (piece == TokenizerSpec::kSequence) {
      out.insert(out.end(), ids.begin(), ids.end());
    } else if (options.add_special_tokens) {
      out.push_back(piece);
    }
  }
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string out;
  bool first = true;
  for (const int32_t id : ids) {
    if (!impl_->vocab.has(id) || (options.skip_special && is_special(id))) continue;
    if (!first) out += token_separator();
    out += token_bytes(id);
    first = false;
  }
  return simdjson::validate_utf8(out) ? out : to_valid_utf8(out);
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (!impl_->vocab.has(id)) return {};
  const uint32_t begin = impl_->decoded_begin[id];
  return std::string_view(impl_->decoded).substr(begin, impl_->decoded_begin[id + 1] - begin);
}

std::string_view Tokenizer::token_separator() const { return impl_->joins_with_spaces ? " " : ""; }

std::optional<std::string_view> Tokenizer::id_to_token(int32_t id) const {
  if (!impl_->vocab.has(id)) return std::nullopt;
  return impl_->vocab.token(id);
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  const int32_t id = impl_->vocab.find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

bool Tokenizer::is_special(int32_t id) const { return impl_->vocab.has(id) && impl_->special[id]; }
int32_t Tokenizer::vocab_size() const { return impl_->vocab.size(); }
int32_t Tokenizer::max_id() const { return impl_->vocab.max_id(); }
const std::vector<AddedToken>& Tokenizer::added_tokens() const { return impl_->added; }

}  // namespace glimmer
