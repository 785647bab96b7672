#include "engine/generate.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/error.h"
#include "engine/local_runner.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

const std::vector<int32_t> kPrompt = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};

std::filesystem::path fixture(const std::string& name) { return testing::source_dir() / "tests/fixtures" / name; }

// One tiny random model, run by `threads` threads in chunks of `chunk_tokens`.
struct Engine {
  explicit Engine(int threads = 1, int64_t chunk_tokens = 64, const std::string& name = "glm4_moe_lite_base")
      : context({.backend = "", .threads = threads}),
        model(Model::load(fixture(name))),
        runner(model, context, chunk_tokens) {}

  Context context;
  Model model;
  LocalRunner runner;
};

std::vector<int32_t> to_vector(std::span<const int32_t> ids) { return {ids.begin(), ids.end()}; }

std::vector<int32_t> generate(Engine& engine, const GenerationOptions& options) {
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, options);
  Generator(engine.runner).run(sequence);
  return to_vector(sequence.generated());
}

GenerationOptions tokens(int64_t count) { return {.max_new_tokens = count}; }

GenerationOptions sampled(int64_t count) {
  GenerationOptions options = tokens(count);
  options.sampling = {.temperature = 1, .top_p = 0.95, .seed = 11};
  return options;
}

ErrorCode start_error(const ModelConfig& config, std::vector<int32_t> prompt, const GenerationOptions& options,
                      const std::string& part) {
  Sequence sequence(config);
  try {
    sequence.start(std::move(prompt), options);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(part));
    return error.code();
  }
  ADD_FAILURE() << "no error; expected " << part;
  return ErrorCode::kCancelled;
}

TEST(Generate, ChunkedPrefillGivesTheSameTokens) {
  Engine whole;
  const std::vector<int32_t> expected = generate(whole, tokens(20));
  EXPECT_EQ(expected.size(), 20U);
  for (const int64_t chunk : {1, 2, 3, 7, 11}) {
    Engine engine(1, chunk);
    EXPECT_EQ(generate(engine, tokens(20)), expected) << "chunks of " << chunk;
  }
}

TEST(Generate, ThreadsDoNotChangeTokens) {
  for (const char* name : {"glm4_moe_lite_base", "glm4_moe_base", "glm4_no_bias"}) {
    Engine one(1, 64, name);
    for (const int threads : {2, 3, 8}) {
      Engine engine(threads, 64, name);
      EXPECT_EQ(generate(engine, sampled(20)), generate(one, sampled(20))) << name << ", " << threads << " threads";
    }
  }
}

TEST(Generate, CallbackReceivesEachToken) {
  Engine engine;
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, tokens(5));
  std::vector<int32_t> seen;
  const GenerationTimings timings = Generator(engine.runner).run(sequence, [&](int32_t id) {
    seen.push_back(id);
    return TokenAction::kContinue;
  });
  EXPECT_THAT(seen, ElementsAreArray(sequence.generated()));
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kLength);
  EXPECT_EQ(timings.prefill_tokens, static_cast<int64_t>(kPrompt.size()));
  EXPECT_EQ(timings.decode_tokens, 4);
  EXPECT_GT(timings.decode_bytes, 4 * engine.model.active_weight_bytes());
}

TEST(Generate, StopIdEndsIt) {
  Engine engine;
  const std::vector<int32_t> free = generate(engine, tokens(10));
  GenerationOptions options = tokens(10);
  options.stop_ids = {free[4]};
  const auto first = std::find(free.begin(), free.end(), free[4]);
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, options);
  std::vector<int32_t> seen;
  Generator(engine.runner).run(sequence, [&](int32_t id) {
    seen.push_back(id);
    return TokenAction::kContinue;
  });
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kStopToken);
  EXPECT_EQ(to_vector(sequence.generated()), std::vector<int32_t>(free.begin(), first + 1));
  EXPECT_EQ(seen, std::vector<int32_t>(free.begin(), first)) << "the stop token is not the caller's";
}

TEST(Generate, CallbackMayEndIt) {
  Engine engine;
  for (const int64_t max_tokens : {3, 10}) {  // the third token is the last anyway, or is not
    Sequence sequence(engine.model.config());
    sequence.start(kPrompt, tokens(max_tokens));
    int count = 0;
    Generator(engine.runner).run(sequence, [&](int32_t) {
      return ++count == 3 ? TokenAction::kStop : TokenAction::kContinue;
    });
    EXPECT_EQ(sequence.finish_reason(), FinishReason::kStopString);
    EXPECT_EQ(sequence.generated().size(), 3U);
  }
}

TEST(Generate, CancelledBeforeAndBetweenTokens) {
  Engine engine(1, 4);
  std::atomic<bool> cancelled{true};
  Generator generator(engine.runner, &cancelled);
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, tokens(10));
  EXPECT_EQ(generator.run(sequence).prefill_tokens, 0);
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kCancelled);
  EXPECT_TRUE(sequence.generated().empty());

  cancelled = false;
  sequence.start(kPrompt, tokens(10));
  generator.run(sequence, [&](int32_t) {
    cancelled = sequence.generated().size() == 3;
    return TokenAction::kContinue;
  });
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kCancelled);
  EXPECT_EQ(sequence.generated().size(), 3U);
  EXPECT_EQ(finish_reason_name(FinishReason::kCancelled), "cancelled");
}

TEST(Generate, EndsWhenTheContextIsFull) {
  Engine engine;
  const int64_t context = engine.model.config().max_position_embeddings;
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, {});
  Generator(engine.runner).run(sequence);
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kLength);
  EXPECT_TRUE(sequence.context_full());
  EXPECT_EQ(static_cast<int64_t>(sequence.tokens().size()), context);
}

TEST(Generate, ZeroTokensRunNothing) {
  Engine engine;
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, tokens(0));
  EXPECT_EQ(Generator(engine.runner).run(sequence).prefill_tokens, 0);
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kLength);
}

TEST(Sequence, WrongPromptsAreRefusedBeforeAnyWork) {
  const ModelConfig config = read_config(fixture("glm4_moe_lite_base") / "config.json");
  const auto context = static_cast<size_t>(config.max_position_embeddings);
  EXPECT_EQ(start_error(config, {}, {}, "empty"), ErrorCode::kUsage);
  EXPECT_EQ(start_error(config, {1, -1}, {}, "token 1"), ErrorCode::kInvalid);
  EXPECT_EQ(start_error(config, {static_cast<int32_t>(config.vocab_size)}, {}, "vocab_size"), ErrorCode::kInvalid);
  EXPECT_EQ(start_error(config, {1}, tokens(-1), "max_new_tokens"), ErrorCode::kUsage);
  EXPECT_EQ(start_error(config, {1}, {.sampling = {.top_p = 2}}, "top_p"), ErrorCode::kUsage);
  EXPECT_EQ(start_error(config, std::vector<int32_t>(context), {}, "max_position_embeddings"), ErrorCode::kLimit);
}

TEST(Sequence, KeepsTheCommonPrefixOfTheCache) {
  Engine engine;
  Generator generator(engine.runner);
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, tokens(4));
  generator.run(sequence);

  // The next turn: all of that, and more.
  std::vector<int32_t> longer = to_vector(sequence.tokens());
  longer.insert(longer.end(), {7, 8, 9});
  sequence.start(longer, tokens(6));
  EXPECT_EQ(sequence.reused_count(), static_cast<int64_t>(kPrompt.size()) + 3) << "the last token never ran";
  EXPECT_EQ(generator.run(sequence).prefill_tokens, 4);
  Sequence fresh(engine.model.config());
  fresh.start(longer, tokens(6));
  generator.run(fresh);
  EXPECT_THAT(sequence.generated(), ElementsAreArray(fresh.generated()));

  // The same prompt again: its last token has to run for its logits.
  sequence.start(kPrompt, tokens(1));
  EXPECT_EQ(sequence.reused_count(), static_cast<int64_t>(kPrompt.size()) - 1);
  // Another one: nothing is kept.
  sequence.start({60, 61}, tokens(1));
  EXPECT_EQ(sequence.reused_count(), 0);
}

TEST(Sequence, AFailedStartLeavesItAsItWas) {
  Engine engine;
  Sequence sequence(engine.model.config());
  sequence.start(kPrompt, tokens(4));
  Generator(engine.runner).run(sequence);
  const std::vector<int32_t> before = to_vector(sequence.tokens());
  EXPECT_THROW(sequence.start({}, {}), Error);
  EXPECT_THAT(sequence.tokens(), ElementsAreArray(before));
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kLength);
}

// Lets through the ids of one remainder after another, and the end after `least` tokens.
class Remainders : public TokenFilter {
 public:
  Remainders(int32_t divisor, int64_t vocab_size, size_t least = 0)
      : divisor_(divisor), vocab_size_(vocab_size), least_(least) {}

  void allow(std::span<uint64_t> bits) override {
    EXPECT_EQ(std::count(bits.begin(), bits.end(), 0), static_cast<int64_t>(bits.size())) << "zero on entry";
    for (auto id = static_cast<int32_t>(accepted.size()) % divisor_; id < vocab_size_; id += divisor_) {
      set_token(bits, id, true);
    }
  }
  bool may_end() const override { return accepted.size() >= least_; }
  void accept(int32_t id) override { accepted.push_back(id); }

  std::vector<int32_t> accepted;

 private:
  int32_t divisor_;
  int64_t vocab_size_;
  size_t least_;
};

TEST(Generate, AFilterSaysWhatMayCome) {
  Engine engine;
  const int64_t vocab_size = engine.model.config().vocab_size;
  for (GenerationOptions options : {tokens(20), sampled(20)}) {
    const auto filter = std::make_shared<Remainders>(5, vocab_size);
    options.filter = filter;
    const std::vector<int32_t> ids = generate(engine, options);
    ASSERT_EQ(ids.size(), 20U);
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i] % 5, static_cast<int32_t>(i % 5));
    EXPECT_EQ(filter->accepted, ids);
  }
}

TEST(Generate, AFilterThatLetsAllThroughChangesNothing) {
  Engine engine;
  GenerationOptions options = sampled(20);
  const std::vector<int32_t> expected = generate(engine, options);
  options.filter = std::make_shared<Remainders>(1, engine.model.config().vocab_size);
  EXPECT_EQ(generate(engine, options), expected);
}

TEST(Generate, StopIdsComeWhereTheFilterMayEnd) {
  Engine engine;
  const int64_t vocab_size = engine.model.config().vocab_size;
  GenerationOptions options = tokens(20);
  for (int32_t id = 0; id < vocab_size; ++id) {
    if (id % 2 == 0) options.stop_ids.push_back(id);  // one of them is sure to be the likeliest soon
  }
  options.filter = std::make_shared<Remainders>(1, vocab_size, 6);
  const std::vector<int32_t> ids = generate(engine, options);
  ASSERT_GT(ids.size(), 6U);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(ids[i] % 2, 1) << "of a token that is no stop id";

  // The filter itself need not know of stop ids: where it lets nothing else through, one comes.
  class End : public TokenFilter {
   public:
    void allow(std::span<uint64_t>) override {}
    bool may_end() const override { return true; }
    void accept(int32_t) override {}
  };
  options.filter = std::make_shared<End>();
  options.stop_ids = {7};
  EXPECT_THAT(generate(engine, options), ElementsAre(7));
}

TEST(Generate, AFilterThatLetsNothingThroughIsAnError) {
  class Nothing : public TokenFilter {
   public:
    void allow(std::span<uint64_t>) override {}
    bool may_end() const override { return false; }
    void accept(int32_t) override {}
  };
  Engine engine;
  GenerationOptions options = tokens(5);
  options.stop_ids = {1};
  options.filter = std::make_shared<Nothing>();
  try {
    generate(engine, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_THAT(error.what(), HasSubstr("no token may come next"));
  }
}

}  // namespace
}  // namespace glimmer
