// The engine over several ranks: batches, prefix hits and preemption give the tokens of one rank.
#include <gmock/gmock.h>

#include <condition_variable>
#include <mutex>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/long_context_model.h"
#include "support/ranks.h"

namespace glimmer {
namespace {

using testing::LongContextModel;
using testing::with_ranks;

// A request that has been submitted.
class Submitted {
 public:
  Submitted(Engine& engine, const std::vector<int32_t>& prompt, const GenerationOptions& options)
      : handle_(engine.submit({.prompt = prompt, .generation = options}, [signal = signal_] {
          const std::lock_guard lock(signal->mutex);
          signal->told = true;
          signal->condition.notify_one();
        })) {}

  std::vector<int32_t> tokens() {
    std::vector<int32_t> ids;
    for (;;) {
      {
        std::unique_lock lock(signal_->mutex);
        signal_->condition.wait(lock, [&] { return signal_->told; });
        signal_->told = false;
      }
      const RequestHandle::News news = handle_->take();
      for (const GeneratedToken& token : news.tokens) ids.push_back(token.id);
      if (news.error != nullptr) std::rethrow_exception(news.error);
      if (news.ended()) return ids;
    }
  }

 private:
  struct Signal {
    std::mutex mutex;
    std::condition_variable condition;
    bool told = false;
  };
  std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  std::shared_ptr<RequestHandle> handle_;
};

class EngineRanks : public ::testing::TestWithParam<ParallelForm> {};

TEST_P(EngineRanks, RequestsGetTheTokensOfOneRank) {
  for (const char* fixture : {"glm4_moe_lite_base", "glm4_moe_base"}) {
    LongContextModel m(fixture);
    struct Case {
      std::vector<int32_t> prompt;
      GenerationOptions options;
      std::vector<int32_t> expected;
    };
    std::vector<Case> cases;
    for (const int64_t length : {254, 255, 3, 256, 300, 700, 64}) {
      Case c{m.prompt(length, static_cast<uint64_t>(length)),
             {.max_new_tokens = length == 254 || length == 255 ? 300 : 20},
             {}};
      if (length == 300) c.options.sampling = {.temperature = 1, .top_p = 0.9, .seed = 5};
      c.expected = m.expected(c.prompt, c.options);
      cases.push_back(std::move(c));
    }
    for (const int64_t pages : {4, 1000}) {
      with_ranks(m.path(), {.form = GetParam()}, [&](std::unique_ptr<Runner> runner) {
        const int64_t page_bytes = runner->page_bytes(runner->kv_type());
        Engine engine(std::move(runner), {.max_sequences = 6, .chunk_tokens = 50, .kv_bytes = pages * page_bytes});
        for (int round = 0; round < 2; ++round) {
          std::vector<Submitted> requests;
          for (const Case& c : cases) requests.emplace_back(engine, c.prompt, c.options);
          for (size_t i = 0; i < cases.size(); ++i) {
            EXPECT_EQ(requests[i].tokens(), cases[i].expected) << fixture << ", case " << i;
          }
        }
        if (pages == 4) {
          EXPECT_GT(engine.stats().preemptions, 0);
        } else {
          EXPECT_GE(engine.stats().cached_tokens, 255 + 256 + 300 + 700 + 64 - 6);
        }
      });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, EngineRanks,
                         ::testing::Values(ParallelForm{.tp = 2}, ParallelForm{.tp = 3}, ParallelForm{.pp = 2}));

TEST(EngineRanks, KeysAndValuesOnDiskAreRefused) {
  LongContextModel m("glm4_moe_base");
  const auto refused = [&] {
    with_ranks(m.path(), {.form = {.tp = 2}}, [&](std::unique_ptr<Runner> runner) {
      Engine(std::move(runner), {.chunk_tokens = 50, .kv_dir = m.path() / "kv"});
    });
  };
  try {
    refused();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
  }
}

}  // namespace
}  // namespace glimmer
