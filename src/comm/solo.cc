#include "base/check.h"
#include "comm/group.h"

namespace glimmer::comm {
namespace {

class Solo final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void gather(const Exchange& /*exchange*/, std::span<const GatherCall> /*calls*/) override {}
  void broadcast(const Exchange& /*exchange*/, int root, std::vector<std::byte>& /*bytes*/) override {
    GLIMMER_CHECK(root == 0, "root {} of one rank", root);
  }
  void send(const Exchange& exchange, std::span<const std::byte> /*bytes*/, int to) override {
    GLIMMER_CHECK(false, "{}: one rank sends to rank {}", describe(exchange), to);
  }
  void receive(const Exchange& exchange, std::span<std::byte> /*bytes*/, int from) override {
    GLIMMER_CHECK(false, "{}: one rank receives from rank {}", describe(exchange), from);
  }
  std::unique_ptr<Group> split(int /*color*/) override { return std::make_unique<Solo>(); }
  void fail(const std::string& /*message*/) noexcept override {}
};

}  // namespace

std::string describe(const Exchange& exchange) {
  return exchange.layer < 0 ? std::string(exchange.what) : fmt::format("{} of layer {}", exchange.what, exchange.layer);
}

Group& solo() {
  static auto& group = *new Solo;
  return group;
}

}  // namespace glimmer::comm
