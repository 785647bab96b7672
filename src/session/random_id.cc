#include "session/random_id.h"

#include <random>

namespace glimmer {
namespace {

std::mt19937_64& random_source() {
  thread_local std::mt19937_64 source = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return source;
}

}  // namespace

uint64_t random_seed() { return random_source()(); }

std::string random_id(std::string_view prefix) {
  constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string out(prefix);
  std::uniform_int_distribution<size_t> any(0, kAlphabet.size() - 1);
  for (int i = 0; i < 24; ++i) out += kAlphabet[any(random_source())];
  return out;
}

}  // namespace glimmer
