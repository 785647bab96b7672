#include "text/tokenizer_vocab.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace glimmer {
namespace {

constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t hash = (a ^ kMultiplier) * 0xD6E8FEB86659FD93;
  hash = std::rotl(hash, 32) ^ b;
  hash *= kMultiplier;
  return hash ^ hash >> 29;
}

uint64_t load(const char* from, size_t bytes) {
  uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  return value;
}

}  // namespace

uint64_t hash_bytes(std::string_view bytes) {
  const char* at = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = bytes.size() * kMultiplier;
  for (; left > 16; at += 16, left -= 16) hash = mix(hash ^ load(at, 8), load(at + 8, 8) + hash);
  const size_t low = left < 8 ? left : 8;
  return mix(hash ^ load(at, low), load(at + low, left - low) + hash);
}

void Vocab::reserve(size_t tokens, size_t bytes) {
  arena_.reserve(bytes);
  entries_.reserve(tokens);
  if (tokens * 2 > slots_.size()) rehash(std::bit_ceil(tokens * 2));
}

bool Vocab::insert(std::string_view token, int32_t id) {
  GLIMMER_CHECK(id >= 0 && id <= kMaxTokenId, "token id {}", id);
  if (has(id) || find(token) >= 0) return false;
  if (arena_.size() + token.size() >= kAbsent) fail(ErrorCode::kLimit, "vocabulary: token strings exceed 4 GiB");
  if (static_cast<size_t>(size_ + 1) * 2 > slots_.size()) rehash(slots_.size() * 2);
  if (static_cast<size_t>(id) >= entries_.size()) entries_.resize(id + 1);
  entries_[id] = {static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(token.size())};
  arena_ += token;
  ++size_;
  const uint64_t hash = hash_bytes(token);
  size_t at = hash & (slots_.size() - 1);
  while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {static_cast<uint32_t>(hash >> 32), id};
  return true;
}

int32_t Vocab::find_hashed(std::string_view token, uint64_t hash) const {
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.id < 0) return -1;
    if (slot.tag == tag && this->token(slot.id) == token) return slot.id;
  }
}

std::string_view Vocab::token(int32_t id) const {
  if (!has(id)) return {};
  return std::string_view(arena_).substr(entries_[id].offset, entries_[id].size);
}

void Vocab::rehash(size_t slots) {
  slots_.assign(slots, {});
  for (int32_t id = 0; id <= max_id(); ++id) {
    if (!has(id)) continue;
    const uint64_t hash = hash_bytes(token(id));
    size_t at = hash & (slots - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (slots - 1);
    slots_[at] = {static_cast<uint32_t>(hash >> 32), id};
  }
}

}  // namespace glimmer
