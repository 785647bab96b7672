#include "format/tensor_info.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/utf8.h"

namespace glimmer {
namespace {

constexpr size_t kMaxQuotedBytes = 160;

bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// C0, DEL and C1 controls move a terminal's cursor or colours; the separators and direction marks garble a line.
bool is_printable(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return false;
  return c != 0x2028 && c != 0x2029 && !(c >= 0x200E && c <= 0x200F) && !(c >= 0x202A && c <= 0x202E) &&
         !(c >= 0x2066 && c <= 0x2069);
}

void append_quoted(std::string& out, std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (point.value == '"' || point.value == '\\') {
      out += '\\';
      out += static_cast<char>(point.value);
    } else if (is_printable(point.value)) {
      append_utf8(out, point.value);
    } else {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(point.value));
    }
    at += point.size_bytes;
  }
}

int madvise_flag(Access access) {
  switch (access) {
    case Access::kNormal:
      return MADV_NORMAL;
    case Access::kSequential:
      return MADV_SEQUENTIAL;
    case Access::kWillNeed:
      return MADV_WILLNEED;
    case Access::kDontNeed:
      return MADV_DONTNEED;
  }
  return MADV_NORMAL;
}

}  // namespace

bool TensorInfo::is_aligned() const { return reinterpret_cast<uintptr_t>(data.data()) % dtype_size_bytes(dtype) == 0; }

ConstTensorView TensorInfo::view(Tensor& copy) const {
  if (is_aligned()) return {data.data(), dtype, shape};
  copy = Tensor(dtype, shape);
  if (!data.empty()) std::memcpy(copy.view().data, data.data(), data.size());
  return std::as_const(copy).view();
}

void advise(std::span<const std::byte> bytes, Access access) {
  if (bytes.empty()) return;
  static const auto page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t end = begin + bytes.size();
  // Neighbours share the first and the last page. Reading them early is harmless; dropping them is not what was asked.
  const bool drop = access == Access::kDontNeed;
  const uintptr_t first = (drop ? begin + page_bytes - 1 : begin) / page_bytes * page_bytes;
  const uintptr_t last = (drop ? end : end + page_bytes - 1) / page_bytes * page_bytes;
  if (first >= last) return;
  ::madvise(reinterpret_cast<void*>(first), last - first, madvise_flag(access));  // NOLINT: an address of ours
}

std::string quoted_name(std::string_view name) {
  std::string out = "\"";
  if (name.size() <= kMaxQuotedBytes) {
    append_quoted(out, name);
  } else {
    size_t head = kMaxQuotedBytes / 2;
    size_t tail = name.size() - kMaxQuotedBytes / 4;
    for (int i = 0; i < 3 && is_continuation(name[head]); ++i) --head;
    for (int i = 0; i < 3 && is_continuation(name[tail]); ++i) ++tail;
    append_quoted(out, name.substr(0, head));
    out += fmt::format("[... {} bytes ...]", tail - head);
    append_quoted(out, name.substr(tail));
  }
  return out + '"';
}

}  // namespace glimmer
