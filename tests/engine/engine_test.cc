#include "engine/engine.h"

#include <gmock/gmock.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "engine/long_context_model.h"
#include "model/forward.h"
#include "model/kv_cache.h"

namespace glimmer {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;
using testing::LongContextModel;

constexpr int64_t kPage = KvPool::kPageTokens;

GenerationOptions tokens(int64_t count) { return {.max_new_tokens = count}; }

int64_t page_bytes(const LongContextModel& m) { return KvPool(m.model.config(), m.context.kv_type()).page_bytes(); }

// A request and what comes of it, taken as it comes.
struct Reader {
  struct Signal {
    std::mutex mutex;
    std::condition_variable condition;
    bool told = false;
  };
  std::shared_ptr<Signal> signal = std::make_shared<Signal>();
  std::shared_ptr<RequestHandle> handle;
  std::vector<GeneratedToken> scored;  // of the prompt
  std::vector<GeneratedToken> tokens;
  std::optional<GeneratedToken> stop_token;
  std::optional<FinishReason> reason;
  std::exception_ptr error;

  Reader(Engine& engine, EngineRequest request) {
    handle = engine.submit(std::move(request), [signal = signal] {
      const std::lock_guard lock(signal->mutex);
      signal->told = true;
      signal->condition.notify_one();
    });
  }
  Reader(Engine& engine, std::vector<int32_t> prompt, const GenerationOptions& generation)
      : Reader(engine, EngineRequest{.prompt = std::move(prompt), .generation = generation}) {}

  // What there is at the next news; false once it has ended.
  bool read() {
    {
      std::unique_lock lock(signal->mutex);
      signal->condition.wait(lock, [&] { return signal->told; });
      signal->told = false;
    }
    RequestHandle::News news = handle->take();
    EXPECT_TRUE(news.prompt.empty() || tokens.empty());
    for (GeneratedToken& token : news.prompt) scored.push_back(std::move(token));
    for (GeneratedToken& token : news.tokens) tokens.push_back(std::move(token));
    if (news.stop_token) stop_token = std::move(news.stop_token);
    reason = news.finish_reason;
    error = news.error;
    return !news.ended();
  }
  std::vector<int32_t> read_all() {
    while (read()) continue;
    return ids();
  }
  std::vector<int32_t> ids() const {
    std::vector<int32_t> result;
    for (const GeneratedToken& token : tokens) result.push_back(token.id);
    return result;
  }
};

struct Case {
  std::vector<int32_t> prompt;
  GenerationOptions generation;
  std::vector<int32_t> expected;
};

std::vector<Case> some_cases(LongContextModel& m) {
  std::vector<Case> cases;
  uint64_t seed = 1;
  for (const int64_t length : {1, 3, 255, 256, 257, 511, 700, 64}) {
    GenerationOptions generation = tokens(length == 255 ? 300 : 20);
    if (length == 700) generation.sampling = {.temperature = 1, .top_p = 0.9, .seed = 5};
    Case c{m.prompt(length, seed++), generation, {}};
    c.expected = m.expected(c.prompt, generation);
    cases.push_back(c);
  }
  return cases;
}

struct Subject {
  const char* fixture;
  LongContextModel::On on;
};

void PrintTo(const Subject& subject, std::ostream* out) {
  *out << subject.fixture << (subject.on == LongContextModel::On::kFenced ? ", fenced" : "");
}

class EngineOf : public ::testing::TestWithParam<Subject> {
 protected:
  LongContextModel m{GetParam().fixture, std::nullopt, GetParam().on};
};

// Alone, together, in small and large chunks, and where pages are so few that sequences give theirs back.
TEST_P(EngineOf, ARequestsTokensDependOnNothingElse) {
  const std::vector<Case> cases = some_cases(m);
  // Opening and closing the fence takes longer than the operations between.
  const bool fenced = GetParam().on == LongContextModel::On::kFenced;
  for (const bool prefix_cache : fenced ? std::vector{true} : std::vector{false, true}) {
    for (const int64_t chunk : fenced ? std::vector<int64_t>{100} : std::vector<int64_t>{7, 512}) {
      for (const int64_t pages : {4, 1000}) {
        Engine engine(m.model, m.context,
                      {.max_sequences = 6,
                       .chunk_tokens = chunk,
                       .idle_chunk_tokens = 2 * chunk,
                       .kv_bytes = pages * page_bytes(m),
                       .prefix_cache = prefix_cache});
        for (int round = 0; round < 2; ++round) {
          std::vector<Reader> readers;
          for (const Case& c : cases) readers.emplace_back(engine, c.prompt, c.generation);
          for (size_t i = 0; i < cases.size(); ++i) {
            EXPECT_EQ(readers[i].read_all(), cases[i].expected)
                << "case " << i << ", chunk " << chunk << ", " << pages << " pages, round " << round;
            EXPECT_EQ(readers[i].reason, FinishReason::kLength);
          }
        }
        const EngineStats stats = engine.stats();
        EXPECT_EQ(stats.requests_finished, static_cast<int64_t>(2 * cases.size()));
        EXPECT_EQ(stats.pages_used, 0);
        EXPECT_EQ(stats.running + stats.waiting, 0);
        EXPECT_EQ(stats.preemptions > 0, pages == 4) << stats.preemptions;
        if (prefix_cache && pages == 1000) {
          EXPECT_GE(stats.cached_tokens, 255 + 256 + 511 + 700 + 64 - 5);
        }
        if (!prefix_cache) {
          EXPECT_EQ(stats.cached_tokens, 0);
        }
      }
    }
  }
}

// Pages of codes are shared, copied and computed again as others are.
TEST(Engine, KeysAndValuesOf8BitsToo) {
  for (const char* fixture : {"glm4_moe_lite_base", "glm4_moe_base"}) {
    for (const KvType type : {KvType::kInt8, KvType::kF8E4M3}) {
      LongContextModel m(fixture, type);
      EXPECT_LT(page_bytes(m), KvPool(m.model.config(), KvType::kBF16).page_bytes());
      const std::vector<Case> cases = some_cases(m);
      for (const int64_t pages : {4, 1000}) {
        Engine engine(m.model, m.context, {.max_sequences = 6, .chunk_tokens = 50, .kv_bytes = pages * page_bytes(m)});
        for (int round = 0; round < 2; ++round) {
          std::vector<Reader> readers;
          for (const Case& c : cases) readers.emplace_back(engine, c.prompt, c.generation);
          for (size_t i = 0; i < cases.size(); ++i) {
            EXPECT_EQ(readers[i].read_all(), cases[i].expected) << fixture << ", case " << i << ", " << pages;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EngineOf,
                         ::testing::Values(Subject{"glm4_moe_lite_base", LongContextModel::On::kHost},
                                           Subject{"glm4_moe_base", LongContextModel::On::kHost},
                                           Subject{"glm4_moe_lite_base", LongContextModel::On::kFenced},
                                           Subject{"glm4_moe_base", LongContextModel::On::kFenced}));

TEST_P(EngineOf, AConversationsNextTurnIsFoundToTheLastToken) {
  Engine engine(m.model, m.context, {.kv_bytes = 100 * page_bytes(m)});
  std::vector<int32_t> conversation = m.prompt(900, 3);
  int64_t known = 0;
  for (int turn = 0; turn < 4; ++turn) {
    Reader reader(engine, conversation, tokens(30));
    const std::vector<int32_t> answer = reader.read_all();
    EXPECT_EQ(answer, m.expected(conversation, tokens(30)));
    EXPECT_EQ(reader.handle->usage().cached_tokens, known);
    conversation.insert(conversation.end(), answer.begin(), answer.end());
    known = static_cast<int64_t>(conversation.size()) - 1;  // the last token was not run
    const std::vector<int32_t> question = m.prompt(40, static_cast<uint64_t>(turn) + 50);
    conversation.insert(conversation.end(), question.begin(), question.end());
  }
}

TEST(Engine, PrefixesStayWithinTheirScope) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context, {.kv_bytes = 100 * page_bytes(m)});
  const std::vector<int32_t> prompt = m.prompt(600, 3);
  const auto cached_tokens = [&](const std::string& scope) {
    Reader reader(engine, {.prompt = prompt, .generation = tokens(1), .cache_scope = scope});
    reader.read_all();
    return reader.handle->usage().cached_tokens;
  };
  EXPECT_EQ(cached_tokens("a"), 0);
  EXPECT_EQ(cached_tokens("b"), 0);
  EXPECT_EQ(cached_tokens("a"), 599);
  EXPECT_EQ(cached_tokens("b"), 599);
}

// Of several that begin alike and come together, one computes the beginning.
TEST(Engine, AlikePromptsAreReadOnce) {
  LongContextModel m("glm4_moe_base");
  Engine engine(m.model, m.context, {.chunk_tokens = 64, .idle_chunk_tokens = 64, .kv_bytes = 100 * page_bytes(m)});
  const std::vector<int32_t> prompt = m.prompt(1000, 3);
  std::vector<Reader> readers;
  for (int i = 0; i < 4; ++i) readers.emplace_back(engine, prompt, tokens(5));
  int64_t cached = 0;
  for (Reader& reader : readers) {
    EXPECT_EQ(reader.read_all(), m.expected(prompt, tokens(5)));
    cached += reader.handle->usage().cached_tokens;
  }
  EXPECT_EQ(cached, 3 * 999);
}

TEST(Engine, CancellingFreesPagesAndTouchesNoOther) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context,
                {.chunk_tokens = 16, .idle_chunk_tokens = 16, .kv_bytes = 100 * page_bytes(m), .prefix_cache = false});
  const std::vector<int32_t> prompt = m.prompt(300, 1);
  Reader other(engine, prompt, tokens(200));
  Reader in_prompt(engine, m.prompt(3000, 2), tokens(5));
  Reader generating(engine, m.prompt(5, 3), tokens(2000));
  while (generating.tokens.size() < 10) ASSERT_TRUE(generating.read());
  in_prompt.handle->cancel();
  generating.handle->finish(FinishReason::kStopString);
  in_prompt.read_all();
  generating.read_all();
  EXPECT_EQ(in_prompt.reason, FinishReason::kCancelled);
  EXPECT_EQ(in_prompt.ids(), std::vector<int32_t>());
  EXPECT_EQ(generating.reason, FinishReason::kStopString);
  EXPECT_EQ(other.read_all(), m.expected(prompt, tokens(200)));
  EXPECT_EQ(engine.stats().pages_used, 0);
  EXPECT_EQ(engine.stats().pages_cached, 0);
  EXPECT_EQ(engine.stats().requests_cancelled, 1);
}

TEST(Engine, ARequestRestsUntilItsReaderTakesSome) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context, {.kv_bytes = 100 * page_bytes(m), .max_unread_tokens = 8});
  const std::vector<int32_t> slow_prompt = m.prompt(20, 1);
  Reader slow(engine, slow_prompt, tokens(100));
  Reader quick(engine, m.prompt(20, 2), tokens(500));
  quick.read_all();
  EXPECT_EQ(quick.tokens.size(), 500U);
  EXPECT_EQ(slow.handle->usage().generated_tokens, 8);
  EXPECT_EQ(slow.read_all(), m.expected(slow_prompt, tokens(100)));
}

void wait_until_resting(const Engine& engine, int64_t count) {
  for (int i = 0; i < 6000 && engine.stats().resting != count; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_EQ(engine.stats().resting, count);
}

// Readers that sleep hold no place, and have the same answers when they wake.
TEST(Engine, OthersRunWhileReadersSleep) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context,
                {.max_sequences = 2, .max_waiting = 1, .kv_bytes = 100 * page_bytes(m), .max_unread_tokens = 8});
  std::vector<std::vector<int32_t>> prompts;
  for (uint64_t seed = 1; seed <= 3; ++seed) prompts.push_back(m.prompt(20, seed));
  std::vector<Reader> sleepers;
  for (const auto& prompt : prompts) sleepers.emplace_back(engine, prompt, tokens(100));
  wait_until_resting(engine, 3);
  EXPECT_EQ(engine.stats().running + engine.stats().waiting, 0);
  // Nor do they fill the queue, which has room for three.
  std::vector<Reader> awake;
  for (uint64_t seed = 4; seed <= 6; ++seed) awake.emplace_back(engine, m.prompt(20, seed), tokens(50));
  for (uint64_t seed = 4; seed <= 6; ++seed) {
    EXPECT_EQ(awake[seed - 4].read_all(), m.expected(m.prompt(20, seed), tokens(50)));
  }
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(sleepers[i].read_all(), m.expected(prompts[i], tokens(100)));
  EXPECT_EQ(engine.stats().preemptions, 0);
  EXPECT_EQ(engine.stats().resting, 0);
  EXPECT_EQ(engine.stats().pages_used, 0);
}

// What they hold is for others, but what they say stays the same: computed again, or read from the cache.
TEST(Engine, OthersTakeThePagesOfReadersThatSleep) {
  LongContextModel m("glm4_moe_base");
  for (const bool prefix_cache : {false, true}) {
    Engine engine(
        m.model, m.context,
        {.max_sequences = 2, .kv_bytes = 5 * page_bytes(m), .prefix_cache = prefix_cache, .max_unread_tokens = 8});
    const std::vector<int32_t> prompts[] = {m.prompt(kPage + 20, 1), m.prompt(kPage + 90, 2)};
    std::vector<Reader> sleepers;
    for (const auto& prompt : prompts) sleepers.emplace_back(engine, prompt, tokens(60));
    wait_until_resting(engine, 2);
    EXPECT_EQ(engine.stats().pages_used, 4);
    const std::vector<int32_t> large = m.prompt(3 * kPage + 9, 3);
    Reader awake(engine, large, tokens(40));
    EXPECT_EQ(awake.read_all(), m.expected(large, tokens(40)));
    EXPECT_GE(engine.stats().preemptions, 1);
    EXPECT_EQ(engine.stats().resting, 2);  // still, though without pages
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(sleepers[i].read_all(), m.expected(prompts[i], tokens(60)));
    EXPECT_EQ(engine.stats().resting, 0);
  }
}

TEST(Engine, WhoSleepsCanBeCancelled) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context, {.max_sequences = 1, .kv_bytes = 100 * page_bytes(m), .max_unread_tokens = 8});
  Reader sleeper(engine, EngineRequest{.prompt = m.prompt(20, 1), .generation = tokens(100), .tenant = "a"});
  wait_until_resting(engine, 1);
  sleeper.handle->cancel();
  sleeper.read_all();
  EXPECT_EQ(sleeper.reason, FinishReason::kCancelled);
  EXPECT_EQ(engine.stats().resting + engine.stats().pages_used, 0);
}

// One tenant may fill the queue as long as it is the only one.
TEST(Engine, NoTenantFillsTheQueueForOthers) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context, {.max_sequences = 1, .max_waiting = 4, .kv_bytes = 100 * page_bytes(m)});
  const auto ask = [&](const std::string& tenant, uint64_t seed) {
    return Reader(engine, EngineRequest{.prompt = m.prompt(10, seed), .generation = tokens(4000), .tenant = tenant});
  };
  std::vector<Reader> many;
  for (uint64_t seed = 0; seed < 5; ++seed) many.push_back(ask("many", seed));
  EXPECT_THROW(ask("many", 5), Engine::Overloaded);
  std::vector<Reader> few;
  few.push_back(ask("few", 6));
  few.push_back(ask("few", 7));
  EXPECT_THROW(ask("few", 8), Engine::Overloaded);  // 3 of the one, 2 of the other: as fair as it can be
  EXPECT_THROW(ask("many", 9), Engine::Overloaded);
  for (const size_t displaced : {4U, 3U}) {
    many[displaced].read_all();
    EXPECT_THROW(std::rethrow_exception(many[displaced].error), Engine::Overloaded);
  }
  EXPECT_EQ(engine.stats().requests_refused, 5);
  EXPECT_EQ(engine.stats().running + engine.stats().waiting, 5);
  for (size_t i = 0; i < 3; ++i) many[i].handle->cancel();
  for (Reader& reader : few) {
    while (reader.tokens.size() < 3) ASSERT_TRUE(reader.read());  // each has its turn
    reader.handle->cancel();
    reader.read_all();
  }
  EXPECT_TRUE(engine.idle());
}

TEST(Engine, ALongPromptDoesNotHoldUpOthersForMoreThanAChunk) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context, {.chunk_tokens = 10, .idle_chunk_tokens = 1000, .kv_bytes = 100 * page_bytes(m)});
  Reader running(engine, m.prompt(5, 3), tokens(1000));
  while (running.tokens.size() < 2) ASSERT_TRUE(running.read());
  Reader large(engine, m.prompt(2000, 4), tokens(1));
  large.read_all();
  // 2,000 tokens in steps of at most 10 of them are 200 steps, and each step that it shared gave the other one token.
  const int64_t shared_steps = running.handle->usage().generated_tokens;
  EXPECT_GE(shared_steps, 199);
  running.handle->cancel();
}

TEST(Engine, RefusesWhatItCannotServe) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context, {.max_sequences = 1, .max_waiting = 2, .kv_bytes = 4 * page_bytes(m)});
  EXPECT_EQ(engine.max_context_tokens(), 4 * kPage);
  const auto error_of = [&](std::vector<int32_t> prompt, GenerationOptions generation) -> std::string {
    try {
      Reader reader(engine, std::move(prompt), generation);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(error_of({}, tokens(1)), HasSubstr("empty"));
  EXPECT_THAT(error_of({1, 99999}, tokens(1)), HasSubstr("token 1 of the prompt is 99999"));
  EXPECT_THAT(error_of({1}, tokens(-1)), HasSubstr("max_new_tokens is -1"));
  EXPECT_THAT(error_of(m.prompt(4 * kPage, 1), tokens(1)), HasSubstr("hold 1024"));
  EXPECT_THAT(error_of(m.prompt(5000, 1), tokens(1)), HasSubstr("context holds 4096"));
  Reader first(engine, m.prompt(10, 1), tokens(1000));
  ASSERT_TRUE(first.read());
  Reader second(engine, m.prompt(10, 2), tokens(1));
  Reader third(engine, m.prompt(10, 3), tokens(1));
  EXPECT_THROW(Reader(engine, m.prompt(10, 4), tokens(1)), Engine::Overloaded);
  EXPECT_EQ(engine.stats().requests_refused, 1);
  first.handle->cancel();
  EXPECT_EQ(second.read_all().size() + third.read_all().size(), 2U);
  Reader none(engine, m.prompt(10, 1), tokens(0));
  EXPECT_EQ(none.read_all().size(), 0U);
  EXPECT_EQ(none.reason, FinishReason::kLength);
}

// Without a limit an answer ends where all pages are full.
TEST(Engine, AnAnswerEndsWithThePages) {
  LongContextModel m("glm4_moe_base");
  Engine engine(m.model, m.context, {.kv_bytes = 2 * page_bytes(m)});
  Reader reader(engine, m.prompt(100, 1), GenerationOptions{});
  EXPECT_EQ(static_cast<int64_t>(reader.read_all().size()), 2 * kPage - 100);
  EXPECT_EQ(reader.reason, FinishReason::kLength);
}

TEST(Engine, LargerPrioritiesGoFirst) {
  LongContextModel m("glm4_moe_lite_base");
  Engine engine(m.model, m.context, {.max_sequences = 1, .kv_bytes = 100 * page_bytes(m)});
  Reader blocking(engine, m.prompt(10, 1), tokens(300));
  ASSERT_TRUE(blocking.read());
  Reader low(engine, {.prompt = m.prompt(10, 2), .generation = tokens(50), .priority = 0});
  Reader high(engine, {.prompt = m.prompt(10, 3), .generation = tokens(50), .priority = 1});
  low.read_all();
  high.read_all();
  EXPECT_LT(high.handle->usage().queue_s, low.handle->usage().queue_s);
}

TEST(Engine, TellsLogprobs) {
  LongContextModel m("glm4_moe_base");
  Engine engine(m.model, m.context, {.kv_bytes = 100 * page_bytes(m)});
  Reader reader(engine, {.prompt = m.prompt(10, 2), .generation = tokens(5), .top_logprobs = 3});
  reader.read_all();
  for (const GeneratedToken& token : reader.tokens) {
    ASSERT_EQ(token.top.size(), 3U);
    EXPECT_EQ(token.top[0].id, token.id);  // greedy
    EXPECT_FLOAT_EQ(token.top[0].logprob, token.logprob);
    EXPECT_GE(token.top[0].logprob, token.top[1].logprob);
    EXPECT_LT(token.top[0].logprob, 0);
  }
  Reader without(engine, m.prompt(10, 2), tokens(1));
  without.read_all();
  EXPECT_TRUE(without.tokens[0].top.empty());
}

// Those of each token of the prompt behind the first, as one pass over it gives them: to the bit, whatever the chunks,
// with others in the batch, with its prefix in the cache, and where it has to give its pages back.
TEST_P(EngineOf, TellsLogprobsOfThePrompt) {
  const std::vector<int32_t> prompt = m.prompt(600, 3);
  std::vector<Logprobs> expected;
  {
    Forward forward(m.model, m.context);
    KvCache kv = forward.make_cache();
    const ConstTensorView logits = forward.run(prompt, kv, LogitsFor::kAllTokens);
    const auto vocab_size = static_cast<size_t>(m.model.config().vocab_size);
    for (size_t i = 0; i + 1 < prompt.size(); ++i) {
      expected.push_back(logprobs_of({logits.as<float>() + i * vocab_size, vocab_size}, prompt[i + 1], 2));
    }
  }
  for (const int64_t chunk : {7, 64, 1024}) {
    for (const int64_t pages : {5, 1000}) {
      Engine engine(
          m.model, m.context,
          {.max_sequences = 4, .chunk_tokens = chunk, .idle_chunk_tokens = chunk, .kv_bytes = pages * page_bytes(m)});
      Reader warm(engine, prompt, tokens(1));
      warm.read_all();
      std::vector<Reader> readers;
      for (const int64_t count : {0, 1, 20}) {
        readers.emplace_back(engine, EngineRequest{.prompt = prompt,
                                                   .generation = tokens(count),
                                                   .top_logprobs = 2,
                                                   .prompt_logprobs = 2,
                                                   .priority = static_cast<int>(count)});
        readers.emplace_back(engine, m.prompt(300, 9), tokens(20));
      }
      for (size_t i = 0; i < readers.size(); ++i) {
        readers[i].read_all();
        if (i % 2 == 1) continue;
        ASSERT_EQ(readers[i].scored.size(), expected.size());
        for (size_t k = 0; k < expected.size(); ++k) {
          EXPECT_EQ(readers[i].scored[k].id, prompt[k + 1]);
          EXPECT_EQ(readers[i].scored[k].logprob, expected[k].chosen);
          ASSERT_EQ(readers[i].scored[k].top.size(), 2u);
          EXPECT_EQ(readers[i].scored[k].top[1].id, expected[k].top[1].id);
          EXPECT_EQ(readers[i].scored[k].top[1].logprob, expected[k].top[1].logprob);
        }
        EXPECT_EQ(readers[i].handle->usage().cached_tokens, 0);
      }
      EXPECT_EQ(readers[0].reason, FinishReason::kLength);
      EXPECT_TRUE(readers[0].tokens.empty());
      EXPECT_EQ(readers[4].ids(), m.expected(prompt, tokens(20)));
      // The prompt of a scored request is found by others.
      Reader next(engine, prompt, tokens(1));
      next.read_all();
      EXPECT_TRUE(pages < 1000 || next.handle->usage().cached_tokens > 0);
    }
  }
}

TEST(Engine, ScoresPromptsOfAnyLength) {
  LongContextModel m("glm4_moe_base");
  Engine engine(m.model, m.context, {.kv_bytes = 100 * page_bytes(m)});
  for (const int64_t length : {1, 2, 256, 257}) {
    Reader reader(engine, EngineRequest{.prompt = m.prompt(length, 1), .generation = tokens(0), .prompt_logprobs = 0});
    reader.read_all();
    EXPECT_EQ(reader.scored.size(), static_cast<size_t>(length - 1));
    EXPECT_EQ(reader.reason, FinishReason::kLength);
    EXPECT_EQ(reader.handle->usage().generated_tokens, 0);
  }
  EXPECT_THROW(Reader(engine, EngineRequest{.prompt = {1}, .prompt_logprobs = 21}), Error);
}

TEST(Engine, TellsTheTokenThatEndedIt) {
  LongContextModel m("glm4_moe_base");
  Engine engine(m.model, m.context, {.kv_bytes = 100 * page_bytes(m)});
  const std::vector<int32_t> prompt = m.prompt(5, 1);
  GenerationOptions generation = tokens(3);
  const std::vector<int32_t> ids = m.expected(prompt, generation);
  generation.stop_ids = {ids[0]};
  Reader reader(engine, EngineRequest{.prompt = prompt, .generation = generation, .top_logprobs = 1});
  reader.read_all();
  EXPECT_TRUE(reader.tokens.empty());
  ASSERT_TRUE(reader.stop_token.has_value());
  EXPECT_EQ(reader.stop_token->id, ids[0]);
  EXPECT_LT(reader.stop_token->logprob, 0);
}

TEST(Engine, StoppingEndsEverything) {
  LongContextModel m("glm4_moe_base");
  std::vector<Reader> readers;
  {
    Engine engine(m.model, m.context, {.max_sequences = 2, .kv_bytes = 100 * page_bytes(m)});
    for (uint64_t i = 0; i < 4; ++i) readers.emplace_back(engine, m.prompt(10, i), tokens(3000));
    ASSERT_TRUE(readers[0].read());
    engine.drain();
    EXPECT_THROW(Reader(engine, m.prompt(10, 9), tokens(1)), Engine::Overloaded);
    EXPECT_FALSE(engine.idle());
    engine.stop();
    EXPECT_TRUE(engine.idle());
  }
  for (Reader& reader : readers) {
    reader.read_all();
    EXPECT_EQ(reader.reason, FinishReason::kCancelled);
    reader.handle->cancel();  // of an engine that is gone
  }
}

// What was computed before a restart is found after it, unless it is damaged or another model's.
TEST_P(EngineOf, PrefixesSurviveARestart) {
  testing::TempDir dir;
  const std::vector<int32_t> prompt = m.prompt(1100, 3);
  const std::vector<int32_t> expected = m.expected(prompt, tokens(10));
  const auto run = [&](const std::string& fingerprint) {
    Engine engine(m.model, m.context,
                  {.kv_bytes = 6 * page_bytes(m), .kv_dir = dir.path() / "kv", .kv_fingerprint = fingerprint});
    Reader reader(engine, prompt, tokens(10));
    EXPECT_EQ(reader.read_all(), expected);
    const int64_t rejected = engine.stats().pages_rejected;
    return std::pair(reader.handle->usage().cached_tokens, rejected);
  };
  EXPECT_EQ(run("model"), std::pair(int64_t{0}, int64_t{0}));
  EXPECT_EQ(run("model"), std::pair(4 * kPage, int64_t{0}));
  EXPECT_EQ(run("another"), std::pair(int64_t{0}, int64_t{0}));
  for (const auto& file : std::filesystem::directory_iterator(dir.path() / "kv")) {
    std::fstream stream(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(2000);
    stream.put('!');
    stream.put('?');
  }
  EXPECT_EQ(run("model"), std::pair(int64_t{0}, int64_t{1}));
  EXPECT_EQ(run("model"), std::pair(4 * kPage, int64_t{0}));
}

// Few pages, many requests, readers that come and go.
TEST(Engine, ManyRequestsOverFewPages) {
  LongContextModel m("glm4_moe_base");
  testing::TempDir dir;
  std::vector<Case> cases;
  const std::vector<int32_t> common = m.prompt(500, 99);
  for (uint64_t i = 0; i < 12; ++i) {
    std::vector<int32_t> prompt(common.begin(), common.begin() + static_cast<int64_t>(i) * 40 + 1);
    const std::vector<int32_t> rest = m.prompt(static_cast<int64_t>(i) * 7 % 90, i);
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    cases.push_back({prompt, tokens(30 + static_cast<int64_t>(i) * 20), {}});
    cases.back().expected = m.expected(cases.back().prompt, cases.back().generation);
  }
  Engine engine(m.model, m.context,
                {.max_sequences = 5,
                 .chunk_tokens = 100,
                 .kv_bytes = 7 * page_bytes(m),
                 .kv_dir = dir.path(),
                 .kv_dir_bytes = 10 * page_bytes(m),
                 .max_unread_tokens = 40});
  std::vector<std::thread> users;
  for (unsigned user = 0; user < 4; ++user) {
    users.emplace_back([&, user] {
      std::mt19937 random(user);
      for (int i = 0; i < 25; ++i) {
        const Case& c = cases[random() % cases.size()];
        Reader reader(engine, {.prompt = c.prompt,
                               .generation = c.generation,
                               .priority = static_cast<int>(random() % 2),
                               .tenant = std::to_string(user)});
        const bool leaves = random() % 3 == 0;
        const size_t leaves_after = random() % 20;
        while (reader.read()) {
          if (leaves && reader.tokens.size() >= leaves_after) reader.handle->cancel();
        }
        ASSERT_EQ(reader.error, nullptr);
        const std::vector<int32_t> ids = reader.ids();
        ASSERT_TRUE(std::equal(ids.begin(), ids.end(), c.expected.begin()));
        if (reader.reason == FinishReason::kLength) {
          ASSERT_EQ(ids.size(), c.expected.size());
        }
      }
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_TRUE(engine.idle());
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.pages_used, 0);
  EXPECT_LE(stats.pages_cached, 7);
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.requests_finished + stats.requests_cancelled, 100);
}

}  // namespace
}  // namespace glimmer
