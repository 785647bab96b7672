// What rank 0 of a group tells the others, and its form in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/batch.h"
#include "ops/kv_memory.h"

namespace glimmer {

struct GroupMessage {
  enum class Kind : int64_t {
    kMakePool,  // pool, kv_type, max_pages
    kDropPool,  // pool
    kCopyRows,  // pool, from, tokens, to
    kRun,       // pool, batch
    kLogits,    // rows, of the batch that ran last
    kEnd,
  };

  Kind kind = Kind::kEnd;
  int64_t pool = 0;
  KvType kv_type = KvType::kF32;
  int64_t max_pages = 0;
  PageId from = 0;
  PageId to = 0;
  int64_t tokens = 0;
  Batch batch;
  std::vector<int64_t> rows;

  GroupMessage() = default;
  GroupMessage(GroupMessage&&) = default;
  GroupMessage& operator=(GroupMessage&&) = default;

  std::vector<std::byte> encode() const;
  // Throws kInvalid where the bytes are no message.
  static GroupMessage decode(std::span<const std::byte> bytes);

 private:
  std::vector<std::vector<PageId>> pages_;  // of a decoded batch's sequences
};

}  // namespace glimmer
