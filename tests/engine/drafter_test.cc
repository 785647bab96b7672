// Whatever is drafted, the output is the same to the bit; what is drafted well takes fewer steps.
#include "engine/drafter.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <numeric>

#include "engine/engine.h"
#include "engine/generate.h"
#include "engine/local_runner.h"
#include "engine/long_context_model.h"

namespace glimmer {
namespace {

using ::testing::ElementsAreArray;
using testing::LongContextModel;

constexpr const char* kFixture = "glm4_moe_lite_base";
constexpr int64_t kPage = KvPool::kPageTokens;

std::vector<int32_t> to_vector(std::span<const int32_t> ids) { return {ids.begin(), ids.end()}; }

// Knows how some sequences go on, and says something else at every place that is not `is_right`.
class Knowing : public Drafter {
 public:
  explicit Knowing(std::function<bool(size_t place)> is_right) : is_right_(std::move(is_right)) {}

  void learn(std::vector<int32_t> prompt, const std::vector<int32_t>& output) {
    prompt.insert(prompt.end(), output.begin(), output.end());
    known_.push_back(std::move(prompt));
  }

  std::vector<int32_t> draft(const Sequence& sequence, int64_t count) override {
    const std::span<const int32_t> tokens = sequence.tokens();
    std::vector<int32_t> ids;
    for (const std::vector<int32_t>& known : known_) {
      if (known.size() < tokens.size() || !std::equal(tokens.begin(), tokens.end(), known.begin())) continue;
      for (size_t i = tokens.size(); i < known.size() && static_cast<int64_t>(ids.size()) < count; ++i) {
        ids.push_back(is_right_(i) ? known[i] : known[i] ^ 1);
      }
      break;
    }
    drafted += static_cast<int64_t>(ids.size());
    return ids;
  }

  int64_t drafted = 0;

 private:
  std::function<bool(size_t)> is_right_;
  std::vector<std::vector<int32_t>> known_;
};

bool always(size_t) { return true; }
bool never(size_t) { return false; }
bool mostly(size_t place) { return place % 5 != 3; }

// Counts the steps of another.
class Counting : public Runner {
 public:
  Counting(const Model& model, Context& context, int64_t chunk_tokens) : runner_(model, context, chunk_tokens) {}

  const ModelConfig& config() const override { return runner_.config(); }
  int64_t chunk_tokens() const override { return runner_.chunk_tokens(); }
  KvType kv_type() const override { return runner_.kv_type(); }
  int64_t active_bytes(int64_t position, KvType type) const override { return runner_.active_bytes(position, type); }
  std::shared_ptr<KvPool> make_pool(KvType type, int64_t max_pages) override {
    return runner_.make_pool(type, max_pages);
  }
  int64_t page_bytes(KvType type) const override { return runner_.page_bytes(type); }
  ThreadPool& pool() override { return runner_.pool(); }
  void run(std::span<const SequenceTokens> batch) override {
    ++steps;
    runner_.run(batch);
  }
  ConstTensorView logits() override { return runner_.logits(); }
  ConstTensorView logits_of_tokens(int64_t first, int64_t count) override {
    return runner_.logits_of_tokens(first, count);
  }
  void set_cancelled(const std::atomic<bool>* cancelled) override { runner_.set_cancelled(cancelled); }
  using Runner::run;

  int64_t steps = 0;

 private:
  LocalRunner runner_;
};

struct Output {
  std::vector<int32_t> ids;
  std::optional<FinishReason> reason;
  std::vector<int32_t> told;  // to the callback
  int64_t cached_tokens = 0;
  int64_t steps = 0;
};

class DraftedGeneration : public ::testing::Test {
 protected:
  // `stop_after`: the callback ends it there.
  Output generate(const GenerationOptions& options, Drafter* drafter, size_t stop_after = 1000, int64_t chunk = 64) {
    Counting runner(model_.model, model_.context, chunk);
    Sequence sequence(runner);
    sequence.start(prompt_, options);
    Output output;
    Generator(runner, nullptr, {.drafter = drafter, .tokens = 4}).run(sequence, [&](int32_t id) {
      output.told.push_back(id);
      return output.told.size() == stop_after ? TokenAction::kStop : TokenAction::kContinue;
    });
    output.ids = to_vector(sequence.generated());
    output.reason = sequence.finish_reason();
    output.cached_tokens = sequence.kv().size_tokens();
    output.steps = runner.steps;
    EXPECT_LE(output.cached_tokens, static_cast<int64_t>(sequence.tokens().size())) << "no drafts are left";
    return output;
  }

  void expect_same(const Output& drafted, const Output& plain, const std::string& what) {
    EXPECT_EQ(drafted.ids, plain.ids) << what;
    EXPECT_EQ(drafted.told, plain.told) << what;
    EXPECT_EQ(drafted.reason, plain.reason) << what;
  }

  Knowing knowing(bool (*is_right)(size_t), const GenerationOptions& options) {
    Knowing drafter(is_right);
    drafter.learn(prompt_, generate(options, nullptr).ids);
    return drafter;
  }

  LongContextModel model_{kFixture};
  const std::vector<int32_t> prompt_ = model_.prompt(20, 4);
};

TEST_F(DraftedGeneration, RightDraftsSaveSteps) {
  const GenerationOptions options{.max_new_tokens = 41};
  const Output plain = generate(options, nullptr);
  EXPECT_EQ(plain.steps, 41);
  Knowing right = knowing(always, options);
  const Output drafted = generate(options, &right);
  expect_same(drafted, plain, "right");
  EXPECT_EQ(drafted.steps, 1 + 40 / 5) << "the prompt gives one token, each step after it five";
  Knowing wrong = knowing(never, options);
  const Output undrafted = generate(options, &wrong);
  expect_same(undrafted, plain, "wrong");
  EXPECT_EQ(undrafted.steps, plain.steps);
  EXPECT_GT(wrong.drafted, 100);
}

TEST_F(DraftedGeneration, DrawsAndPenaltiesSeeWhatIsTakenOnly) {
  const std::vector<SamplingParams> kinds = {
      {},
      {.temperature = 1, .seed = 3},
      {.temperature = 0.9, .top_k = 20, .top_p = 0.9, .seed = 4},
      {.repetition_penalty = 1.3, .presence_penalty = 1, .frequency_penalty = 0.7},
      {.temperature = 1, .repetition_penalty = 1.2, .frequency_penalty = 1.5, .seed = 6}};
  for (size_t i = 0; i < kinds.size(); ++i) {
    const GenerationOptions options{.sampling = kinds[i], .max_new_tokens = 60};
    const Output plain = generate(options, nullptr);
    for (const auto is_right : {always, never, mostly}) {
      Knowing drafter = knowing(is_right, options);
      expect_same(generate(options, &drafter), plain, fmt::format("kind {}", i));
      EXPECT_GT(drafter.drafted, 0);
    }
  }
}

// The ids of one remainder after another.
class Remainders : public TokenFilter {
 public:
  explicit Remainders(int64_t vocab_size) : vocab_size_(vocab_size) {}
  void allow(std::span<uint64_t> bits) override {
    for (int64_t id = static_cast<int64_t>(accepted.size()) % 3; id < vocab_size_; id += 3) set_token(bits, id, true);
  }
  bool may_end() const override { return false; }
  void accept(int32_t id) override { accepted.push_back(id); }

  std::vector<int32_t> accepted;

 private:
  int64_t vocab_size_;
};

TEST_F(DraftedGeneration, AFilterSeesWhatIsTakenOnly) {
  GenerationOptions options{.sampling = {.temperature = 1, .seed = 2}, .max_new_tokens = 40};
  const auto with_filter = [&] {
    auto filter = std::make_shared<Remainders>(model_.model.config().vocab_size);
    options.filter = filter;
    return filter;
  };
  with_filter();
  const Output plain = generate(options, nullptr);
  for (const auto is_right : {always, never, mostly}) {
    Knowing drafter(is_right);
    drafter.learn(prompt_, plain.ids);
    const auto filter = with_filter();
    expect_same(generate(options, &drafter), plain, "filtered");
    EXPECT_EQ(filter->accepted, plain.ids);
  }
}

TEST_F(DraftedGeneration, EndsAtEveryPlaceAsItWouldWithoutDrafts) {
  const GenerationOptions longest{.sampling = {.temperature = 1, .seed = 8}, .max_new_tokens = 30};
  for (const auto is_right : {always, mostly}) {
    Knowing drafter = knowing(is_right, longest);
    const Output whole = generate(longest, nullptr);
    for (size_t count = 1; count <= 13; ++count) {
      GenerationOptions options = longest;
      options.max_new_tokens = static_cast<int64_t>(count);
      const Output counted = generate(options, &drafter);
      expect_same(counted, generate(options, nullptr), fmt::format("{} tokens", count));
      EXPECT_EQ(counted.reason, FinishReason::kLength);

      options = longest;
      options.stop_ids = {whole.ids[count - 1]};
      const Output stopped = generate(options, &drafter);
      expect_same(stopped, generate(options, nullptr), fmt::format("stop id {}", count));
      EXPECT_EQ(stopped.reason, FinishReason::kStopToken);

      expect_same(generate(longest, &drafter, count), generate(longest, nullptr, count),
                  fmt::format("stopped by the callback after {}", count));
    }
  }
}

TEST_F(DraftedGeneration, TheContextMayEndWithinDrafts) {
  const std::vector<int32_t> prompt = model_.prompt(LongContextModel::kContext - 8, 6);
  std::vector<int32_t> plain;
  for (int64_t tokens = 0; tokens <= 12; tokens += 3) {
    LocalRunner runner(model_.model, model_.context, 512);
    Sequence sequence(runner);
    sequence.start(prompt, {});
    Knowing drafter(always);
    drafter.learn(prompt, plain);
    Generator(runner, nullptr, {.drafter = &drafter, .tokens = tokens}).run(sequence);
    EXPECT_EQ(sequence.finish_reason(), FinishReason::kLength);
    ASSERT_EQ(sequence.generated().size(), 8U);
    if (tokens == 0) plain = to_vector(sequence.generated());
    EXPECT_EQ(to_vector(sequence.generated()), plain);
    EXPECT_EQ(drafter.drafted > 0, tokens > 0);
  }
}

TEST_F(DraftedGeneration, DraftsAreNoMoreThanAChunkHolds) {
  const GenerationOptions options{.max_new_tokens = 12};
  Knowing drafter = knowing(always, options);
  const Output plain = generate(options, nullptr);
  for (const int64_t chunk : {1, 2, 3}) expect_same(generate(options, &drafter, 1000, chunk), plain, "small chunks");
}

// The conversation goes on from a cache that drafts have been dropped from.
TEST_F(DraftedGeneration, ALaterStartFindsTheCacheAsItShould) {
  const GenerationOptions options{.max_new_tokens = 20};
  Knowing drafter = knowing(mostly, options);
  std::vector<std::vector<int32_t>> answers;
  for (const bool drafts : {false, true}) {
    LocalRunner runner(model_.model, model_.context, 64);
    Sequence sequence(runner);
    sequence.start(prompt_, options);
    Generator generator(runner, nullptr, {.drafter = drafts ? &drafter : nullptr});
    generator.run(sequence);
    std::vector<int32_t> more = to_vector(sequence.tokens());
    more.insert(more.end(), {1, 2, 3});
    sequence.start(more, options);
    EXPECT_GE(sequence.reused_count(), static_cast<int64_t>(more.size()) - 4);
    generator.run(sequence);
    answers.push_back(to_vector(sequence.generated()));
  }
  EXPECT_EQ(answers[0], answers[1]);
}

TEST(DraftedSequence, KnowsHowManyDraftsAreOfUse) {
  LongContextModel m(kFixture);
  Sequence sequence(m.model.config());
  EXPECT_EQ(sequence.draft_room(), 0) << "not begun";
  sequence.start({1, 2, 3}, {.max_new_tokens = 5});
  EXPECT_EQ(sequence.draft_room(), 0) << "the prompt is pending";
  sequence.start({1}, {.max_new_tokens = 5});
  EXPECT_EQ(sequence.draft_room(), 4);
  sequence.draft(std::vector<int32_t>{4, 5});
  EXPECT_THAT(to_vector(sequence.pending(10)), ElementsAreArray({1, 4, 5}));
  EXPECT_THAT(to_vector(sequence.tokens()), ElementsAreArray({1}));
  EXPECT_EQ(sequence.logits_rows(10), 3);
  EXPECT_EQ(sequence.logits_rows(2), 0) << "more is pending";
  EXPECT_EQ(sequence.draft_room(), 0) << "there are drafts";
  sequence.drop_drafts();
  EXPECT_EQ(sequence.pending_count(), 1);
  sequence.draft(std::vector<int32_t>{7});
  sequence.finish(FinishReason::kCancelled);
  EXPECT_EQ(sequence.pending_count(), 0);
  EXPECT_THAT(to_vector(sequence.tokens()), ElementsAreArray({1}));
}

// ---- the engine ----

std::vector<GeneratedToken> read_all(RequestHandle& handle, std::mutex& mutex, std::condition_variable& told,
                                     bool& is_told) {
  std::vector<GeneratedToken> tokens;
  for (bool ended = false; !ended;) {
    {
      std::unique_lock lock(mutex);
      told.wait(lock, [&] { return is_told; });
      is_told = false;
    }
    RequestHandle::News news = handle.take();
    for (GeneratedToken& token : news.tokens) tokens.push_back(std::move(token));
    if (news.stop_token) tokens.push_back(*news.stop_token);
    if (news.error) std::rethrow_exception(news.error);
    ended = news.ended();
  }
  return tokens;
}

struct Asked {
  std::mutex mutex;
  std::condition_variable told;
  bool is_told = false;
  std::shared_ptr<RequestHandle> handle;

  Asked(Engine& engine, EngineRequest request) {
    handle = engine.submit(std::move(request), [this] {
      const std::lock_guard lock(mutex);
      is_told = true;
      told.notify_one();
    });
  }
  std::vector<GeneratedToken> tokens() { return read_all(*handle, mutex, told, is_told); }
};

std::vector<EngineRequest> some_requests(const LongContextModel& m) {
  std::vector<EngineRequest> requests;
  for (const int64_t length : {1, 5, 300, 40, 700, 256}) {
    EngineRequest request{.prompt = m.prompt(length, static_cast<uint64_t>(length)),
                          .generation = {.max_new_tokens = length == 40 ? 2 * kPage : 30}};
    if (length == 5) request.generation.sampling = {.temperature = 1, .frequency_penalty = 1, .seed = 2};
    if (length == 300) request.top_logprobs = 3;
    requests.push_back(request);
  }
  return requests;
}

// In batches of sequences with right, wrong and no drafts; where pages are so few that sequences give theirs back.
TEST(DraftedEngine, GivesTheSameTokensInAnyBatch) {
  LongContextModel m(kFixture);
  std::vector<EngineRequest> requests = some_requests(m);
  std::vector<std::vector<int32_t>> expected;
  auto right = std::make_shared<Knowing>(always);
  auto mixed = std::make_shared<Knowing>(mostly);
  for (size_t i = 0; i < requests.size(); ++i) {
    expected.push_back(m.expected(requests[i].prompt, requests[i].generation));
    if (i == 3) requests[i].generation.stop_ids = {expected[i][100]};
    if (i == 3) expected[i] = m.expected(requests[i].prompt, requests[i].generation);
    if (i == 4) continue;  // no one knows this one
    right->learn(requests[i].prompt, expected[i]);
    mixed->learn(requests[i].prompt, expected[i]);
  }
  const int64_t page_bytes = KvPool(m.model.config(), m.context.kv_type()).page_bytes();
  std::vector<std::vector<GeneratedToken>> plain;
  for (const int64_t pages : {1000, 4}) {
    for (const std::shared_ptr<Knowing>& drafter : {std::shared_ptr<Knowing>(), right, mixed}) {
      Engine engine(m.model, m.context,
                    {.max_sequences = 5, .chunk_tokens = 60, .kv_bytes = pages * page_bytes, .drafter = drafter});
      std::vector<std::unique_ptr<Asked>> asked;
      for (const EngineRequest& request : requests) asked.push_back(std::make_unique<Asked>(engine, request));
      for (size_t i = 0; i < requests.size(); ++i) {
        const std::vector<GeneratedToken> tokens = asked[i]->tokens();
        std::vector<int32_t> ids;
        for (const GeneratedToken& token : tokens) ids.push_back(token.id);
        EXPECT_EQ(ids, expected[i]) << "request " << i << ", " << pages << " pages";
        if (plain.size() == i) plain.push_back(tokens);
        for (size_t at = 0; at < tokens.size(); ++at) {
          EXPECT_EQ(tokens[at].logprob, plain[i][at].logprob);
          EXPECT_EQ(tokens[at].top.size(), plain[i][at].top.size());
        }
      }
      const EngineStats stats = engine.stats();
      EXPECT_EQ(stats.pages_used, 0);
      EXPECT_EQ(stats.generated_tokens,
                std::accumulate(expected.begin(), expected.end(), int64_t{0},
                                [](int64_t sum, const auto& ids) { return sum + static_cast<int64_t>(ids.size()); }));
    }
  }
  EXPECT_GT(right->drafted, 100);
}

TEST(DraftedEngine, RightDraftsSaveSteps) {
  LongContextModel m(kFixture);
  const EngineRequest request{.prompt = m.prompt(40, 1), .generation = {.max_new_tokens = 41}};
  const std::vector<int32_t> expected = m.expected(request.prompt, request.generation);
  auto drafter = std::make_shared<Knowing>(always);
  drafter->learn(request.prompt, expected);
  for (const int64_t tokens : {1, 4}) {
    Engine engine(m.model, m.context, {.drafter = drafter, .draft_tokens = tokens});
    Asked asked(engine, request);
    EXPECT_EQ(asked.tokens().size(), 41U);
    engine.stop();
    EXPECT_EQ(engine.stats().steps, 1 + 40 / (1 + tokens)) << "the prompt gives one token, each step after it more";
  }
}

// Drafts do not begin a page.
TEST(DraftedEngine, DraftsTakeNoPageOfTheirOwn) {
  LongContextModel m(kFixture);
  const EngineRequest request{.prompt = m.prompt(kPage - 3, 1), .generation = {.max_new_tokens = 3}};
  auto drafter = std::make_shared<Knowing>(always);
  drafter->learn(request.prompt, m.expected(request.prompt, request.generation));
  const int64_t page_bytes = KvPool(m.model.config(), m.context.kv_type()).page_bytes();
  Engine engine(m.model, m.context, {.kv_bytes = page_bytes, .drafter = drafter, .draft_tokens = 100});
  Asked asked(engine, request);
  EXPECT_EQ(asked.tokens().size(), 3U);
  EXPECT_EQ(engine.stats().preemptions, 0);
}

}  // namespace
}  // namespace glimmer
