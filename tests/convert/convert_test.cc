// The engine: what it refuses, how it stops and goes on, and that what it wrote is what the source gives.
#include "convert/convert.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/mapped_file.h"
#include "convert/output_files.h"
#include "format/checkpoint.h"
#include "format/safetensors.h"
#include "model/model.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer::convert {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kFixture = testing::source_dir() / "tests/fixtures/glm4_moe_lite_base";
const fs::path kDemo = testing::source_dir() / "models/demo";

Conversion conversion(const fs::path& from, const fs::path& to, ConvertOptions options) {
  return Conversion(ModelSource::open(from), to, std::move(options));
}

void write(Conversion conversion) {
  ThreadPool pool(2);
  conversion.write(pool, {});
}

std::string message_of(const std::function<void()>& action, ErrorCode code) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(Convert, ThereIsNoPartialFileWhenItIsDone) {
  const testing::TempDir dir;
  const fs::path to = dir.path() / "m.gguf";
  write(conversion(kDemo, to, {.recipe = {.type = "q8_0"}}));
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir.path())) names.push_back(entry.path().filename().string());
  EXPECT_THAT(names, ::testing::ElementsAre("m.gguf"));
}

TEST(Convert, WhatIsThereIsReplacedOnlyByForce) {
  const testing::TempDir dir;
  for (const char* format : {"gguf", "hf"}) {
    const fs::path to = dir.path() / (std::string("m.") + format);
    write(conversion(kDemo, to, {.format = format, .recipe = {.type = "bf16"}}));
    const auto again = [&](bool force) {
      write(conversion(kDemo, to, {.format = format, .recipe = {.type = "f16"}, .force = force}));
    };
    EXPECT_THAT(message_of([&] { again(false); }, ErrorCode::kUsage),
                AllOf(HasSubstr(to.string()), HasSubstr("--force")));
    EXPECT_EQ(ModelSource::open(to)->require("model.norm.weight").stored_dtype,
              std::string_view(format) == "hf" ? DType::kBF16 : DType::kF32);
    again(true);
    EXPECT_EQ(ModelSource::open(to)->require("model.embed_tokens.weight").stored_dtype, DType::kF16);
  }
}

// Interrupted after each possible batch, then resumed: the same bytes as a run at one go.
TEST(Convert, AnInterruptedRunGoesOnAndGivesTheSameBytes) {
  const testing::TempDir dir;
  const fs::path whole = dir.path() / "whole.gguf";
  const fs::path to = dir.path() / "m.gguf";
  const ConvertOptions options{.recipe = {.type = "q4_k"}};
  write(conversion(kDemo, whole, options));
  ThreadPool pool(2);
  EXPECT_THAT(message_of(
                  [&] {
                    conversion(kDemo, to, options).write(pool, [](const ConvertProgress&) {
                      fail(ErrorCode::kCancelled, "stopped");
                    });
                  },
                  ErrorCode::kCancelled),
              HasSubstr("stopped"));
  EXPECT_FALSE(fs::exists(to));
  EXPECT_THAT(message_of([&] { write(conversion(kDemo, to, options)); }, ErrorCode::kUsage), HasSubstr("--resume"));
  ConvertOptions other = options;
  other.resume = true;
  other.recipe.type = "q5_k";
  EXPECT_THAT(message_of([&] { write(conversion(kDemo, to, other)); }, ErrorCode::kUsage),
              HasSubstr("another conversion"));
  ConvertOptions resume = options;
  resume.resume = true;
  write(conversion(kDemo, to, resume));
  EXPECT_EQ(read_file(to), read_file(whole));
  EXPECT_THAT(message_of(
                  [&] {
                    ConvertOptions again = resume;
                    again.force = true;
                    write(conversion(kDemo, to, again));
                  },
                  ErrorCode::kUsage),
              HasSubstr("nothing to resume"));
}

// A copy of the fixture whose conversion has stopped after some matrices.
class Interrupted : public ::testing::Test {
 protected:
  Interrupted() {
    fs::create_directory(source_);
    for (const char* name : {"config.json", "generation_config.json", "model.safetensors"}) {
      fs::copy_file(kFixture / name, source_ / name);
    }
    time_ = fs::last_write_time(weights_);
    ThreadPool pool(1);
    int batches = 0;
    EXPECT_THROW(conversion(source_, to_, options_)
                     .write(pool,
                            [&](const ConvertProgress&) {
                              if (++batches == 6) fail(ErrorCode::kCancelled, "stop");
                            }),
                 Error);
    EXPECT_THAT(read_file(to_.string() + ".partial.journal"), HasSubstr("\nmatrix "));
    options_.resume = true;
  }

  // Another value in the tensor, without a trace in size or time.
  void change(const std::string& name) {
    std::string bytes = read_file(weights_);
    {
      const auto source = ModelSource::open(source_);
      const Checkpoint checkpoint = Checkpoint::open(source_);
      const std::byte* begin = checkpoint.files().front()->mapped_bytes().data();
      const std::byte* at = checkpoint.require(source->require(name).stored_name).data.data();
      bytes[static_cast<size_t>(at - begin)] ^= 1;
    }
    std::ofstream(weights_, std::ios::binary) << bytes;
    fs::last_write_time(weights_, time_);
  }

  // Of the matrices in the order in which they are written.
  std::string matrix(bool first) const {
    const Conversion planned = conversion(source_, dir_.path() / "other.gguf", {.recipe = {.type = "f16"}});
    const auto& order = planned.plan().matrices;
    return planned.matrices()[(first ? order.front() : order.back()).matrix].name;
  }

  std::string whole() const {
    const fs::path to = dir_.path() / "whole.gguf";
    write(conversion(source_, to, {.recipe = {.type = "f16"}}));
    return read_file(to);
  }

  const testing::TempDir dir_;
  fs::path source_ = dir_.path() / "model";
  fs::path weights_ = source_ / "model.safetensors";
  fs::path to_ = dir_.path() / "m.gguf";
  fs::file_time_type time_;
  ConvertOptions options_{.recipe = {.type = "f16"}, .batch_bytes = 5'000};
};

TEST_F(Interrupted, GoesOnWhereTheSourceIsTheSameWhateverItsTime) {
  fs::last_write_time(weights_, time_ + std::chrono::hours(5));
  write(conversion(source_, to_, options_));
  EXPECT_EQ(read_file(to_), whole());
}

TEST_F(Interrupted, DoesNotGoOnWhereWhatWasReadHasChanged) {
  const std::string name = matrix(true);
  change(name);
  EXPECT_THAT(message_of([&] { write(conversion(source_, to_, options_)); }, ErrorCode::kUsage),
              AllOf(HasSubstr(name), HasSubstr("not what it was"), HasSubstr("--force")));
  EXPECT_FALSE(fs::exists(to_));
}

TEST_F(Interrupted, GivesWhatTheSourceIsNowWhereTheRestHasChanged) {
  change(matrix(false));
  write(conversion(source_, to_, options_));
  EXPECT_EQ(read_file(to_), whole());
}

TEST_F(Interrupted, DoesNotGoOnWithOtherSideFilesOrAnotherWishForWhatIsOutOfRange) {
  ConvertOptions other = options_;
  other.out_of_range = OutOfRange::kSaturate;
  EXPECT_THAT(message_of([&] { write(conversion(source_, to_, other)); }, ErrorCode::kUsage),
              HasSubstr("another conversion"));
  std::ofstream(source_ / "generation_config.json") << R"({"do_sample": true, "temperature": 0.3})";
  EXPECT_THAT(message_of([&] { write(conversion(source_, to_, options_)); }, ErrorCode::kUsage),
              HasSubstr("another conversion"));
}

// The pages that are gone are touched after the file was opened and found right.
TEST_F(Interrupted, ASourceThatShrinksIsAnErrorAndNothingOfItCounts) {
  const std::string bytes = read_file(weights_);
  const std::string journal = read_file(to_.string() + ".partial.journal");
  ThreadPool pool(2);
  for (const char* type : {"f16", "f32"}) {  // encoded, and copied as it is stored
    Conversion planned = conversion(source_, dir_.path() / type, {.format = "hf", .recipe = {.type = type}});
    Conversion resumed = conversion(source_, to_, options_);
    fs::resize_file(weights_, 20'000);
    EXPECT_THAT(message_of([&] { planned.write(pool, {}); }, ErrorCode::kIo),
                AllOf(HasSubstr(weights_.string()), HasSubstr("changed while it was read")));
    EXPECT_FALSE(fs::exists(dir_.path() / type));
    EXPECT_THROW(resumed.write(pool, {}), Error);
    EXPECT_EQ(read_file(to_.string() + ".partial.journal"), journal);
    std::ofstream(weights_, std::ios::binary) << bytes;
  }
}

TEST(Convert, AModelIsNotLoadedFromAFileThatShrinksMeanwhile) {
  const testing::TempDir dir;
  for (const char* name : {"config.json", "model.safetensors"}) fs::copy_file(kFixture / name, dir.path() / name);
  const std::shared_ptr<const ModelSource> source = ModelSource::open(dir.path());
  fs::resize_file(dir.path() / "model.safetensors", 20'000);
  EXPECT_THAT(message_of([&] { Model::load(source); }, ErrorCode::kIo), HasSubstr("model.safetensors: changed while"));
}

TEST(Convert, AJournalThatEndsInTheMiddleOfALineCountsWhatIsWhole) {
  const testing::TempDir dir;
  const fs::path to = dir.path() / "m.gguf";
  const ConvertOptions options{.recipe = {.type = "q8_0"}};
  ThreadPool pool(2);
  EXPECT_THROW(
      conversion(kDemo, to, options).write(pool, [](const ConvertProgress&) { fail(ErrorCode::kCancelled, "stop"); }),
      Error);
  {
    std::string journal = read_file(to.string() + ".partial.journal");
    dir.write("m.gguf.partial.journal", journal + "99999");
  }
  ConvertOptions resume = options;
  resume.resume = true;
  write(conversion(kDemo, to, resume));
  EXPECT_NO_THROW({
    Conversion check = conversion(kDemo, to, options);
    check.verify(pool, {});
  });
}

TEST(Convert, ADiskWithTooLittleRoomIsNoticedBeforeAnythingIsWritten) {
  const testing::TempDir dir;
  const std::vector<OutputFile> files = {{.header = "head", .size_bytes = uint64_t{1} << 60}};
  OutputFiles output(dir.path() / "m.gguf", false, files, "fingerprint");
  EXPECT_THAT(message_of([&] { output.prepare(OutputFiles::Existing::kRefuse, OutputFiles::Partial::kRefuse); },
                         ErrorCode::kLimit),
              HasSubstr("1152921504606846976 bytes are needed"));
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(Convert, VerifyFindsOneChangedByte) {
  const testing::TempDir dir;
  ThreadPool pool(2);
  for (const char* type : {"q4_k", "bf16"}) {
    const fs::path to = dir.path() / "m.gguf";
    write(conversion(kDemo, to, {.recipe = {.type = type}, .force = true}));
    std::string bytes = read_file(to);
    bytes[bytes.size() - 100] ^= 1;
    dir.write("m.gguf", bytes);
    Conversion check = conversion(kDemo, to, {.recipe = {.type = type}});
    EXPECT_THAT(message_of([&] { check.verify(pool, {}); }, ErrorCode::kInvalid),
                AllOf(HasSubstr("tensor "), HasSubstr("not what the source gives")));
    dir.write("m.gguf", bytes.substr(0, bytes.size() - 1));
    EXPECT_THAT(message_of([&] { check.verify(pool, {}); }, ErrorCode::kInvalid), HasSubstr("not the file"));
  }
}

TEST(Convert, AValueThatIsNotFiniteIsNamed) {
  const testing::TempDir dir;
  const fs::path folder = dir.path() / "broken";
  fs::create_directory(folder);
  fs::copy(kFixture / "config.json", folder / "config.json");
  const auto source = ModelSource::open(kFixture);
  const Checkpoint checkpoint = Checkpoint::open(kFixture);
  std::vector<NamedTensor> tensors;
  std::vector<float> values;
  for (const TensorInfo* tensor : checkpoint.tensors()) {
    tensors.push_back({tensor->name, {tensor->data.data(), tensor->dtype, tensor->shape}});
    if (tensor->name != "lm_head.weight") continue;
    values.resize(static_cast<size_t>(tensor->shape.element_count()));
    decode_rows(source->require(tensor->name).data, 0, tensor->shape[0], values.data());
    values[static_cast<size_t>(3 * tensor->shape[1] + 2)] = std::numeric_limits<float>::infinity();
    tensors.back().value = {values.data(), DType::kF32, tensor->shape};
  }
  write_safetensors(folder / "model.safetensors", tensors);
  const fs::path to = dir.path() / "out";
  EXPECT_THAT(
      message_of(
          [&] { write(conversion(folder, to, {.format = "mlx", .recipe = {.type = "mlx4", .recipe = "uniform"}})); },
          ErrorCode::kInvalid),
      AllOf(HasSubstr("lm_head.weight: the value at [3, 2] is inf"), HasSubstr("mlx4")));
}

TEST(Convert, WrongWishesAreErrorsThatListTheKnown) {
  const testing::TempDir dir;
  const auto with = [&](const char* name, ConvertOptions options) {
    return message_of([&] { conversion(kDemo, dir.path() / name, std::move(options)); }, ErrorCode::kUsage);
  };
  EXPECT_THAT(with("m.gguf", {.recipe = {.type = "q9"}}), AllOf(HasSubstr("\"q9\""), HasSubstr("q4_k")));
  EXPECT_THAT(with("m.gguf", {.recipe = {.type = "mlx4"}}), HasSubstr("format gguf holds"));
  EXPECT_THAT(with("m", {.format = "onnx"}), AllOf(HasSubstr("\"onnx\""), HasSubstr("gguf")));
  EXPECT_THAT(with("m.onnx", {}), HasSubstr("Give --format"));
  EXPECT_THAT(with("m.gguf", {.recipe = {.type = "q4_k", .recipe = "best"}}), HasSubstr("balanced, uniform, experts"));
  EXPECT_THAT(with("m.gguf", {.recipe = {.type = "q4_k", .tensor_types = {"lm_head"}}}), HasSubstr("REGEX=TYPE"));
  EXPECT_THAT(with("m.gguf", {.recipe = {.type = "q4_k", .tensor_types = {"(=q4_0"}}}),
              HasSubstr("no regular expression"));
  EXPECT_THAT(message_of([&] { write(conversion(kDemo, dir.path() / "no/such/m.gguf", {})); }, ErrorCode::kNotFound),
              HasSubstr("no such folder"));
}

TEST(Convert, AFolderThatIsNoModelOrHoldsTheSourceIsNeverReplaced) {
  const testing::TempDir dir;
  fs::create_directory(dir.path() / "home");
  dir.write("home/letters", "dear");
  const ConvertOptions options{.format = "hf", .recipe = {.type = "bf16"}, .force = true};
  EXPECT_THAT(message_of([&] { write(conversion(kDemo, dir.path() / "home", options)); }, ErrorCode::kUsage),
              HasSubstr("no model"));
  dir.write("home/config.json", "{}");
  write(conversion(kDemo, dir.path() / "home" / "m.gguf", {.recipe = {.type = "q8_0"}}));
  EXPECT_THAT(message_of([&] { write(conversion(dir.path() / "home/m.gguf", dir.path() / "home", options)); },
                         ErrorCode::kUsage),
              HasSubstr("holds the source"));
  EXPECT_EQ(read_file(dir.path() / "home/letters"), "dear");
}

TEST(Convert, ASideFileThatIsThereIsNotReplacedEither) {
  const testing::TempDir dir;
  dir.write("m.t", "another's");
  EXPECT_THAT(
      message_of([&] { write(conversion(kDemo, dir.path() / "m.m", {.recipe = {.type = "q80"}})); }, ErrorCode::kUsage),
      HasSubstr("m.t"));
  EXPECT_EQ(read_file(dir.path() / "m.t"), "another's");
}

TEST(Convert, AnInterruptedReplacementGoesOnWithBothFlags) {
  const testing::TempDir dir;
  const fs::path to = dir.path() / "m.gguf";
  write(conversion(kDemo, to, {.recipe = {.type = "bf16"}}));
  ConvertOptions options{.recipe = {.type = "q8_0"}, .force = true};
  ThreadPool pool(2);
  EXPECT_THROW(
      conversion(kDemo, to, options).write(pool, [](const ConvertProgress&) { fail(ErrorCode::kCancelled, "stop"); }),
      Error);
  options.resume = true;
  write(conversion(kDemo, to, options));
  EXPECT_NO_THROW(conversion(kDemo, to, options).verify(pool, {}));
}

TEST(Convert, OnlyOneWritesAtATime) {
  const testing::TempDir dir;
  const fs::path to = dir.path() / "m.gguf";
  const ConvertOptions options{.recipe = {.type = "q8_0"}, .force = true};
  ThreadPool pool(1);
  conversion(kDemo, to, options).write(pool, [&](const ConvertProgress&) {
    ThreadPool other(1);
    EXPECT_THAT(message_of([&] { conversion(kDemo, to, options).write(other, {}); }, ErrorCode::kUsage),
                HasSubstr("another conversion is writing"));
  });
  EXPECT_NO_THROW(conversion(kDemo, to, options).verify(pool, {}));
}

// What is kept as it is must be explained to whoever opens it.
TEST(Convert, QuantisedFoldersKeptAsTheyAreOpenAgain) {
  for (const char* fixture : {"glm4_moe_fp8_block", "glm4_moe_fp8_channel", "glm4_moe_nf4", "glm4_moe_nf4_nested",
                              "glm4_moe_awq", "glm4_moe_mlx4"}) {
    const testing::TempDir dir;
    const fs::path to = dir.path() / "out";
    write(conversion(testing::source_dir() / "tests/fixtures" / fixture, to, {.format = "hf"}));
    EXPECT_NO_THROW(Model::load(to)) << fixture;
  }
}

TEST(Convert, HalvesOfAnotherWidthAreAnErrorThatNamesTheFields) {
  const testing::TempDir dir;
  const Checkpoint checkpoint = Checkpoint::open(kFixture);
  std::vector<NamedTensor> tensors;
  for (const TensorInfo* tensor : checkpoint.tensors()) {
    tensors.push_back({tensor->name, {tensor->data.data(), tensor->dtype, tensor->shape}});
    Shape& shape = tensors.back().value.shape;
    // The same values, twice as wide and half as high.
    if (tensor->name.ends_with("layers.0.self_attn.kv_b_proj.weight")) shape = {shape[0] / 2, shape[1] * 2};
  }
  fs::copy(kFixture / "config.json", dir.path() / "config.json");
  write_safetensors(dir.path() / "model.safetensors", tensors);
  EXPECT_THAT(message_of([&] { conversion(dir.path(), dir.path() / "m.mlx", {.format = "mlx"}); }, ErrorCode::kInvalid),
              AllOf(HasSubstr("kv_b_proj.weight: shape"), HasSubstr("kv_lora_rank")));
}

TEST(Recipe, RouterNormsAndBiasesAreNeverQuantised) {
  const testing::TempDir dir;
  for (const char* recipe : {"uniform", "balanced", "experts"}) {
    const Conversion planned = conversion(kDemo, dir.path() / "m.gguf",
                                          {.recipe = {.type = "q4_0", .recipe = recipe, .tensor_types = {".=q4_0"}}});
    for (const ConvertMatrix& matrix : planned.matrices()) {
      const bool kept = matrix.name.ends_with("norm.weight") || matrix.name.find("mlp.gate.") != std::string::npos;
      EXPECT_EQ(matrix.type->name, kept ? "f32" : "q4_0") << matrix.name;
    }
  }
}

TEST(Recipe, BalancedGivesAFinerTypeToWhatEveryTokenPasses) {
  const testing::TempDir dir;
  const Conversion planned = conversion(kDemo, dir.path() / "m.gguf", {.recipe = {.type = "q4_0"}});
  const auto type_of = [&](std::string_view name) -> std::string_view {
    for (const ConvertMatrix& matrix : planned.matrices()) {
      if (matrix.name == name) return matrix.type->name;
    }
    return "absent";
  };
  EXPECT_EQ(type_of("model.layers.1.mlp.experts.0.up_proj.weight"), "q4_0");
  EXPECT_EQ(type_of("model.layers.1.self_attn.o_proj.weight"), "q5_0");
  EXPECT_EQ(type_of("lm_head.weight"), "q5_0");
}

TEST(Recipe, TheLastExpressionThatFitsWins) {
  const testing::TempDir dir;
  const Conversion planned =
      conversion(kDemo, dir.path() / "m.gguf",
                 {.recipe = {.type = "q4_0", .recipe = "uniform", .tensor_types = {"experts=q5_1", "down_proj=q8_0"}}});
  for (const ConvertMatrix& matrix : planned.matrices()) {
    if (matrix.name.find("mlp.experts.3.down") != std::string::npos) {
      EXPECT_EQ(matrix.type->name, "q8_0");
    }
    if (matrix.name.find("mlp.experts.3.up") != std::string::npos) {
      EXPECT_EQ(matrix.type->name, "q5_1");
    }
    if (matrix.name.find("o_proj") != std::string::npos) {
      EXPECT_EQ(matrix.type->name, "q4_0");
    }
  }
}

}  // namespace
}  // namespace glimmer::convert
