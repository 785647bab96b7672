// Placements of every model card and fixture: each part of a model on exactly one rank, whatever the form and the
// split.
#include "model/placement.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "base/error.h"
#include "model/cards/cards.h"
#include "model/expected_tensors.h"
#include "model/model.h"
#include "source/model_source.h"
#include "source/side_files.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string usage_error(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    return error.what();
  }
  return "no error";
}

std::vector<ModelConfig> all_configs() {
  std::vector<ModelConfig> configs;
  for (const ModelCard& card : all_cards()) configs.push_back(card_config(card));
  for (const auto& dir : testing::fixture_dirs())
    configs.push_back(read_config(side_files_of(*ModelSource::open(dir))));
  return configs;
}

void expect_tiles(std::span<const Range> ranges, int64_t total, std::string_view what) {
  int64_t at = 0;
  for (const Range& range : ranges) {
    EXPECT_EQ(range.begin, at) << what;
    EXPECT_GE(range.end, range.begin) << what;
    at = range.end;
  }
  EXPECT_EQ(at, total) << what;
}

void expect_whole(const ModelConfig& c, std::span<const Placement> placements) {
  expect_tiles(placements.front().layers_of_stage, c.num_hidden_layers, "layers");
  for (const Range& layers : placements.front().layers_of_stage) EXPECT_FALSE(layers.empty());
  if (placements.front().form.tp == 1) return;
  const bool mla = c.attention == AttentionKind::kMla;
  for (const Placement& p : placements) {
    const LayerCuts& cuts = p.cuts;
    expect_tiles(cuts.heads->of_rank, c.num_attention_heads, "heads");
    expect_tiles(cuts.q->of_rank, c.num_attention_heads * c.qk_head_dim(), "q");
    expect_tiles(cuts.attn->of_rank, c.num_attention_heads * (mla ? c.v_head_dim : c.head_dim), "attn");
    expect_tiles(cuts.hidden->of_rank, c.hidden_size, "hidden");
    expect_tiles(cuts.intermediate->of_rank, c.intermediate_size, "intermediate");
    expect_tiles(p.vocab->of_rank, c.vocab_size, "vocab");
    if (c.n_routed_experts > 0) {
      expect_tiles(cuts.shared_intermediate->of_rank, c.moe_intermediate_size * c.n_shared_experts, "shared expert");
    }
    for (const auto& cut : cuts.expert_intermediate) expect_tiles(cut->of_rank, c.moe_intermediate_size, "expert");
    // Each of a rank's heads finds its key head there.
    if (!mla) {
      const int64_t group = c.num_attention_heads / c.num_key_value_heads;
      const Range heads = cuts.heads->own();
      const Range kv = cuts.kv_heads->own();
      EXPECT_EQ(kv.empty(), heads.empty());
      for (int64_t head = heads.begin; head < heads.end; ++head) {
        EXPECT_TRUE(kv.begin <= head / group && head / group < kv.end) << "head " << head;
      }
    }
    EXPECT_EQ(cuts.heads->rank, p.stage_rank());
  }
}

TEST(Placement, EveryPartOfEveryModelIsOnOneRank) {
  for (const ModelConfig& config : all_configs()) {
    for (const int tp : {1, 2, 3, 5, 8, 48}) {
      for (const int pp : {1, 2, 3}) {
        if (pp > config.num_hidden_layers) continue;
        SCOPED_TRACE(config.source + " " + to_string({.tp = tp, .pp = pp}));
        const std::vector<Placement> placements = place(config, {.tp = tp, .pp = pp});
        ASSERT_EQ(placements.size(), static_cast<size_t>(tp * pp));
        expect_whole(config, placements);
      }
    }
  }
}

// What the ranks hold of each tensor adds up to it, or each has all of it.
TEST(Placement, HeldRowsAddUp) {
  for (const ModelConfig& config : all_configs()) {
    for (const ParallelForm form : {ParallelForm{.tp = 3}, ParallelForm{.pp = 2}, ParallelForm{.tp = 5, .pp = 2}}) {
      if (form.pp > config.num_hidden_layers) continue;
      const std::vector<Placement> placements = place(config, form);
      for (const NamedShape& tensor : expected_tensors(config, KvBForm::kHalves)) {
        const int64_t rows = tensor.shape[0];
        int64_t sum = 0;
        bool all_whole = true;
        for (const Placement& p : placements) {
          const int64_t held = rows_held(p, config, tensor.name, rows);
          sum += held;
          all_whole = all_whole && (held == rows || held == 0);
        }
        const bool kv =
            tensor.name.find(".k_proj.") != std::string::npos || tensor.name.find(".v_proj.") != std::string::npos;
        const bool tied = config.tie_word_embeddings && tensor.name.starts_with("model.embed_tokens");
        EXPECT_TRUE(sum == rows || (sum > rows && (all_whole || kv || tied)))
            << config.source << " " << tensor.name << " " << sum << " of " << rows;
      }
    }
  }
}

TEST(Placement, AnySplitIsWhole) {
  std::mt19937 random(3);
  const std::vector<ModelConfig> configs = all_configs();
  for (int round = 0; round < 300; ++round) {
    const ModelConfig& config = configs[random() % configs.size()];
    const ParallelForm form{
        .tp = static_cast<int>(1 + random() % 6),
        .pp = static_cast<int>(1 + random() % static_cast<size_t>(std::min<int64_t>(2, config.num_hidden_layers)))};
    std::vector<double> split;
    for (int i = 0; i < form.ranks(); ++i) split.push_back(static_cast<double>(random() % 5));
    for (int s = 0; s < form.pp; ++s)
      split[static_cast<size_t>(s * form.tp) + random() % static_cast<size_t>(form.tp)] += 1;
    const int64_t wire_block = std::array<int64_t, 3>{1, 128, 256}[random() % 3];
    SCOPED_TRACE(fmt::format("{} {} {} {}", config.source, to_string(form), fmt::join(split, ","), wire_block));
    expect_whole(config, place(config, form, split, {}, wire_block));
  }
}

// On every model, and what a rank of weight 0 holds.
TEST(Placement, UnevenSplitsAreWhole) {
  for (const ModelConfig& config : all_configs()) {
    for (const std::vector<double>& split : std::vector<std::vector<double>>{{3, 2, 2}, {5, 1}, {1, 0, 2}}) {
      SCOPED_TRACE(fmt::format("{} {}", config.source, fmt::join(split, ",")));
      const std::vector<Placement> placements = place(config, {.tp = static_cast<int>(split.size())}, split);
      expect_whole(config, placements);
      for (const Placement& p : placements) {
        if (split[static_cast<size_t>(p.rank)] > 0) continue;
        for (const RowCut* cut : {p.cuts.heads.get(), p.cuts.hidden.get(), p.cuts.intermediate.get(), p.vocab.get()}) {
          EXPECT_TRUE(cut->own().empty());
        }
        EXPECT_EQ(p.kv_heads(config), 0);
      }
    }
  }
}

// No rank begins within a panel; only the last one may end in part of one.
TEST(Placement, PanelsStayWhole) {
  ModelConfig config = card_config(require_card("GLM-4.5-Air"));
  config.hidden_size = 4096 - 7;
  config.vocab_size = 151552 + 3;
  for (const int tp : {2, 3, 5}) {
    const std::vector<Placement> placements = place(config, {.tp = tp});
    expect_whole(config, placements);
    for (const RowCut* cut : {placements.front().cuts.hidden.get(), placements.front().vocab.get()}) {
      for (const Range& range : cut->of_rank) EXPECT_EQ(range.begin % 16, 0);
      EXPECT_NE(cut->of_rank.back().end % 16, 0);
    }
  }
}

TEST(Placement, NeighboursKeepTheSameKeyHead) {
  const ModelConfig config = card_config(require_card("GLM-4.5-Air"));  // 96 heads, 8 key heads
  const std::vector<Placement> placements = place(config, {.tp = 48});
  EXPECT_EQ(placements[5].cuts.heads->own(), (Range{10, 12}));
  EXPECT_EQ(placements[5].cuts.kv_heads->own(), (Range{0, 1}));  // heads 0 to 11
  EXPECT_EQ(placements[6].cuts.kv_heads->own(), (Range{1, 2}));
  const std::vector<Placement> five = place(config, {.tp = 5});
  EXPECT_EQ(five[0].cuts.heads->own(), (Range{0, 20}));  // ends within the heads of key head 1
  EXPECT_EQ(five[0].cuts.kv_heads->own(), (Range{0, 2}));
  EXPECT_EQ(five[1].cuts.kv_heads->own().begin, 1);
}

// Where codes are sent, no block of them comes from two ranks.
TEST(Placement, WireBlocksStayWhole) {
  for (const ModelConfig& config : all_configs()) {
    for (const int64_t block : {128, 256}) {
      for (const int tp : {2, 3, 5}) {
        SCOPED_TRACE(fmt::format("{} tp={} {}", config.source, tp, block));
        const std::vector<Placement> placements = place(config, {.tp = tp}, {}, {}, block);
        expect_whole(config, placements);
        const LayerCuts& cuts = placements.front().cuts;
        std::vector<const RowCut*> sent = {cuts.attn.get(), cuts.intermediate.get()};
        if (config.n_routed_experts > 0) sent.push_back(cuts.shared_intermediate.get());
        for (const auto& expert : cuts.expert_intermediate) sent.push_back(expert.get());
        for (const RowCut* cut : sent) {
          for (const Range& range : cut->of_rank) EXPECT_TRUE(range.begin % block == 0 || range.begin == cut->rows);
        }
      }
    }
  }
  const ModelConfig air = card_config(require_card("GLM-4.5-Air"));
  const LayerCuts halves = place(air, {.tp = 5}, {}, {}, 256).front().cuts;  // 48 pairs of heads
  EXPECT_THAT(halves.heads->of_rank,
              ElementsAre(Range{0, 20}, Range{20, 40}, Range{40, 60}, Range{60, 78}, Range{78, 96}));
  // 5.5 blocks: the last is of 128.
  const LayerCuts cuts = place(air, {.tp = 4}, {}, {}, 256).front().cuts;
  EXPECT_THAT(cuts.expert(0)->of_rank,
              ElementsAre(Range{0, 512}, Range{512, 1024}, Range{1024, 1280}, Range{1280, 1408}));
  EXPECT_THAT(cuts.expert(2)->of_rank,
              ElementsAre(Range{0, 256}, Range{256, 512}, Range{512, 1024}, Range{1024, 1408}));
}

// Which tensors every rank has whole; each row of any other is on one rank, but for key heads that two ranks read.
TEST(Placement, OnlyTheseAreWholeOnEveryRank) {
  for (const ModelConfig& config : all_configs()) {
    const std::vector<Placement> placements = place(config, {.tp = 2});
    for (const NamedShape& tensor : expected_tensors(config, KvBForm::kHalves)) {
      const std::string& name = tensor.name;
      const int64_t rows = tensor.shape[0];
      const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
      const bool whole =
          has("norm") || has("embed_tokens") || has(".mlp.gate.") || has(".q_a_proj.") || has(".kv_a_proj_with_mqa.");
      const int64_t first = rows_held(placements[0], config, name, rows);
      const int64_t second = rows_held(placements[1], config, name, rows);
      if (config.tie_word_embeddings && has("embed_tokens")) {
        EXPECT_EQ(first + second, 3 * rows) << config.source;  // the head, too, by shares
      } else if (whole) {
        EXPECT_TRUE(first == rows && second == rows) << config.source << " " << name;
      } else if (has(".k_proj.") || has(".v_proj.")) {
        EXPECT_TRUE(first + second == rows || first + second == rows + config.head_dim) << config.source << " " << name;
      } else {
        EXPECT_EQ(first + second, rows) << config.source << " " << name;
      }
    }
  }
}

TEST(Placement, SharesFollowTheWeights) {
  EXPECT_THAT(share(20, std::vector<double>{1, 1, 1}), ElementsAre(Range{0, 7}, Range{7, 14}, Range{14, 20}));
  EXPECT_THAT(share(7, std::vector<double>{3, 2, 2}), ElementsAre(Range{0, 3}, Range{3, 5}, Range{5, 7}));
  EXPECT_THAT(share(6, std::vector<double>{5, 1}), ElementsAre(Range{0, 5}, Range{5, 6}));
  EXPECT_THAT(share(4, std::vector<double>{1, 0, 1}), ElementsAre(Range{0, 2}, Range{2, 2}, Range{2, 4}));
  EXPECT_THAT(share(1, std::vector<double>{1, 1, 1}), ElementsAre(Range{0, 1}, Range{1, 1}, Range{1, 1}));
  EXPECT_THAT(share(3, std::vector<double>{0.1, 0.2, 0.3}), ElementsAre(Range{0, 1}, Range{1, 2}, Range{2, 3}));
}

TEST(Placement, WhatIsLeftOverRotates) {
  EXPECT_THAT(share(6, std::vector<double>{1, 1, 1, 1}, 3),
              ElementsAre(Range{0, 2}, Range{2, 3}, Range{3, 4}, Range{4, 6}));
  // Over as many experts as there are ranks, all get the same.
  std::vector<int64_t> units(4, 0);
  for (int expert = 0; expert < 4; ++expert) {
    const std::vector<Range> shares = share(6, std::vector<double>{1, 1, 1, 1}, expert);
    for (size_t rank = 0; rank < 4; ++rank) units[rank] += shares[rank].size();
  }
  EXPECT_THAT(units, ElementsAre(6, 6, 6, 6));
}

TEST(Placement, StagesAreBalancedByCost) {
  EXPECT_THAT(share_layers(std::vector<double>{1, 1, 1, 1, 1}, std::vector<double>{1, 1}),
              ElementsAre(Range{0, 2}, Range{2, 5}));
  EXPECT_THAT(share_layers(std::vector<double>{9, 1, 1, 1}, std::vector<double>{1, 1}),
              ElementsAre(Range{0, 1}, Range{1, 4}));
  EXPECT_THAT(share_layers(std::vector<double>{1, 1, 1, 1}, std::vector<double>{3, 1}),
              ElementsAre(Range{0, 3}, Range{3, 4}));
  EXPECT_THAT(share_layers(std::vector<double>{1, 1}, std::vector<double>{1, 0}),
              ElementsAre(Range{0, 1}, Range{1, 2}));
  EXPECT_THAT(usage_error([] {
                share_layers(std::vector<double>{1}, std::vector<double>{1, 1});
              }),
              HasSubstr("pp=2: the model has 1 layers only"));
}

TEST(Placement, FormsAreRead) {
  EXPECT_EQ(parallel_form("tp=3"), (ParallelForm{.tp = 3}));
  EXPECT_EQ(parallel_form("pp=2,tp=4"), (ParallelForm{.tp = 4, .pp = 2}));
  EXPECT_EQ(parallel_form("tp=4,pp=2").ranks(), 8);
  EXPECT_EQ(to_string(parallel_form("pp=2,tp=4")), "pp=2,tp=4");
  for (const char* bad : {"", "tp", "3", "tp=3;pp=2", "dp=2", "tp=3,", ",tp=3", "tp =3"}) {
    EXPECT_THAT(usage_error([&] { parallel_form(bad); }), HasSubstr("expected")) << bad;
  }
  for (const char* bad : {"tp=0", "tp=-1", "tp=x", "tp=3x", "tp=2000"}) {
    EXPECT_THAT(usage_error([&] { parallel_form(bad); }), HasSubstr("a number from 1 to 1024")) << bad;
  }
  EXPECT_THAT(usage_error([] { parallel_form("tp=2,tp=3"); }), HasSubstr("tp comes twice"));
  EXPECT_THAT(usage_error([] { parallel_form("tp=1000,pp=1000"); }), HasSubstr("1024 ranks at most"));
}

TEST(Placement, BadSplitsAreNamed) {
  const ModelConfig config = card_config(all_cards().front());
  const auto error = [&](std::vector<double> split) { return usage_error([&] { place(config, {.tp = 2}, split); }); };
  EXPECT_THAT(error({1, 2, 3}), HasSubstr("3 weights for 2 ranks (tp=2)"));
  EXPECT_THAT(error({1, -1}), HasSubstr("weight -1"));
  EXPECT_THAT(error({0, 0}), HasSubstr("all weights of the ranks are 0"));
  EXPECT_THAT(error({1, 1e300}), HasSubstr("expected 0 to 1000000000"));
  EXPECT_THAT(error({1, std::nan("")}), HasSubstr("weight nan"));
}

}  // namespace
}  // namespace glimmer
