// glimmer tokenize, detokenize, render, inspect, logits, compare.
#include <gmock/gmock.h>

#include "e2e/command.h"
#include "e2e/successor_model.h"
#include "support/paths.h"

namespace glimmer::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string& model() {
  static const SuccessorModel instance;
  static const std::string path = instance.path();
  return path;
}

std::string fixture(const std::string& name) { return (source_dir() / "tests/fixtures" / name).string(); }

void expect_error(const Result& result, int status, const std::string& part) {
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_THAT(result.err, StartsWith("glimmer: error: "));
  EXPECT_THAT(result.err, HasSubstr(part));
}

std::string output(std::vector<std::string> arguments, const std::string& input = "") {
  const Result result = glimmer(std::move(arguments), input);
  EXPECT_EQ(result.status, 0) << result.err;
  return result.out;
}

TEST(Tokenize, TextOrStandardInput) {
  EXPECT_EQ(output({"tokenize", "-m", model(), "AB<|user|>"}), "65,66,260\n");
  EXPECT_EQ(output({"tokenize", "-m", model()}, "A\n"), "65,10\n") << "every byte counts";
  EXPECT_EQ(output({"tokenize", "-m", model() + "/tokenizer.json", "--ids", "A"}), "65\n");
  EXPECT_EQ(output({"tokenize", "-m", model(), ""}), "\n");
  EXPECT_EQ(output({"tokenize", "-m", model(), "--no-parse-special", "<sop>"}), "60,115,111,112,62\n");
}

TEST(Tokenize, Pieces) {
  EXPECT_EQ(output({"tokenize", "-m", model(), "--tokens", "A\"<sop>"}), "65\t\"A\"\n34\t\"\\\"\"\n258\t\"<sop>\"\n");
}

TEST(Tokenize, LinesThereAndBack) {
  const std::string texts = "{\"text\":\"Hello\"}\n{\"text\":\"\"}\n{\"text\":\"你好\\n<|user|>\\u0000\"}\n";
  const std::string ids = output({"tokenize", "-m", model(), "--jsonl"}, texts);
  EXPECT_THAT(ids, StartsWith("{\"ids\":[72,101,108,108,111]}\n{\"ids\":[]}\n"));
  EXPECT_EQ(output({"detokenize", "-m", model(), "--jsonl"}, ids), texts);
}

TEST(Tokenize, EachLineIsAnsweredAtOnce) {
  Command command({"tokenize", "-m", model(), "--jsonl"});
  for (const char* text : {"A", "B"}) {
    command.write(std::string("{\"text\":\"") + text + "\"}\n");
    EXPECT_EQ(command.read_line(), "{\"ids\":[" + std::to_string(*text) + "]}");
  }
  EXPECT_EQ(command.wait().status, 0);
}

TEST(Tokenize, ABadLineIsNamed) {
  for (const char* line : {"{\"text\":1}", "{\"txt\":\"a\"}", "[]", "nonsense", "{\"text\":\"\xff\"}"}) {
    const Result result = glimmer({"tokenize", "-m", model(), "--jsonl"}, "{\"text\":\"A\"}\n\n" + std::string(line));
    expect_error(result, 1, "line 3 of standard input");
    EXPECT_EQ(result.out, "{\"ids\":[65]}\n");
  }
  expect_error(glimmer({"detokenize", "-m", model(), "--jsonl"}, "{\"ids\":[1.5]}"), 1, "line 1 of standard input");
  expect_error(glimmer({"tokenize", "-m", model(), "--jsonl", "text"}), 2, "--jsonl");
}

TEST(Detokenize, IdsAsArgumentsOrInput) {
  EXPECT_EQ(output({"detokenize", "-m", model(), "72,105"}), "Hi") << "in a pipe no line end is added";
  EXPECT_EQ(output({"detokenize", "-m", model(), "72", "105"}), "Hi");
  EXPECT_EQ(output({"detokenize", "-m", model()}, "72, 105\n33"), "Hi!");
  EXPECT_EQ(output({"detokenize", "-m", model(), "258,72"}), "<sop>H");
  EXPECT_EQ(output({"detokenize", "-m", model(), "--skip-special", "258,72"}), "H");
  expect_error(glimmer({"detokenize", "-m", model(), "7x"}), 2, "7x");
}

TEST(Render, OneObjectOrAList) {
  const std::string expected = "[gMASK]<sop><|user|>Hi<|assistant|><think>";
  const std::string inputs = R"({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true})";
  EXPECT_EQ(output({"render", "-m", model()}, inputs), expected);
  const TempDir dir;
  EXPECT_EQ(output({"render", "-m", model(), dir.write("in.json", inputs).string()}), expected);
  EXPECT_EQ(output({"render", "-m", model()}, R"([{"role": "user", "content": "Hi"}])"), "[gMASK]<sop><|user|>Hi");
  EXPECT_EQ(output({"render", "-m", model(), "--template-arg", "enable_thinking=false"}, inputs),
            "[gMASK]<sop><|user|>Hi<|assistant|></think>");
}

TEST(Render, TemplateFileAndLines) {
  const TempDir dir;
  const auto file = dir.write("t.jinja", "{{ messages | length }} {{ name }}");
  const std::string lines = output({"render", "--template", file.string(), "--jsonl", "--template-arg", "name=text"},
                                   "{\"messages\":[]}\n{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}\n");
  EXPECT_EQ(lines, "{\"text\":\"0 text\"}\n{\"text\":\"1 text\"}\n");
}

TEST(Render, Errors) {
  const TempDir dir;
  const auto broken = dir.write("broken.jinja", "line\n{% if %}");
  expect_error(glimmer({"render", "--template", broken.string()}, "{}"), 1, "broken.jinja:2");
  expect_error(glimmer({"render", "--template", broken.string(), "-m", model()}, "{}"), 2, "--template");
  expect_error(glimmer({"render", "-m", model()}, "3"), 1, "messages");
  expect_error(glimmer({"render", "-m", model()}, "{"), 1, "standard input");
}

TEST(Inspect, TextAndJson) {
  const std::string text = output({"inspect", model()});
  EXPECT_THAT(text, HasSubstr("glm4 (Glm4ForCausalLM)"));
  EXPECT_THAT(text, HasSubstr("GQA, 2 heads"));
  EXPECT_THAT(text, HasSubstr("265 tokens"));
  const Json json = parse_json(output({"inspect", "-m", model(), "--json", "--tensors"}), "output");
  EXPECT_EQ(json["config"]["vocab_size"], 265);
  EXPECT_EQ(json["parameters"]["embedding"], 265 * 272);
  EXPECT_EQ(json["kv_bytes_per_token"], 2 * 2 * 8 * 4);
  EXPECT_EQ(json["tensor_list"].size(), json["tensors"]);
  EXPECT_THAT(json["eos_token_ids"].get<std::vector<int>>(), ElementsAre(256, 260, 262));
}

TEST(Inspect, MtpTensorsAreNamedAsSuch) {
  const Json json = parse_json(output({"inspect", fixture("glm4_moe_mtp"), "--json"}), "output");
  EXPECT_GT(json["parameters"]["mtp"], 0);
  EXPECT_EQ(json["parameters"]["total"],
            json["parameters"]["main"].get<int64_t>() + json["parameters"]["mtp"].get<int64_t>());
  EXPECT_THAT(output({"inspect", fixture("glm4_moe_mtp"), "--tensors"}), HasSubstr("MTP (not run)"));
}

TEST(Inspect, ABrokenTokenizerHidesNothingElse) {
  const SuccessorModel broken;
  broken.folder().write("tokenizer.json", "{}");
  const std::string text = output({"inspect", broken.path()});
  EXPECT_THAT(text, HasSubstr("not usable"));
  EXPECT_THAT(text, HasSubstr("parameters"));
}

TEST(Inspect, Kernels) {
  const std::string text = output({"inspect", "--kernels"});
  EXPECT_THAT(text, HasSubstr("ref"));
  EXPECT_THAT(text, HasSubstr("rms_norm"));
  const Json json = parse_json(output({"inspect", "--kernels", "--backend", "ref", "--json"}), "output");
  EXPECT_EQ(json["chosen"], "ref");
  EXPECT_EQ(json["operations"]["linear"], "ref");
}

TEST(Logits, AreJsonInFullPrecision) {
  const Json json = parse_json(
      output({"logits", "-m", fixture("glm4_moe_lite_base"), "--ids", "1,2,3", "--backend", "ref", "--json"}),
      "output");
  EXPECT_EQ(json["positions"], 3);
  EXPECT_EQ(json["vocab_size"], 72);
  EXPECT_EQ(json["logits"].size(), 3U);
  EXPECT_EQ(json["logits"][2].size(), 72U);
  EXPECT_THAT(output({"logits", "-m", model(), "--ids", "48", "--top", "1"}), StartsWith("0\t49:"));
}

TEST(Logits, ChunksGiveTheSame) {
  const std::vector<std::string> whole = {"logits", "-m", fixture("glm4_moe_base"), "--ids", "5,6,7,8,9"};
  for (const char* chunk : {"1", "2", "5", "100"}) {
    std::vector<std::string> chunked = whole;
    chunked.insert(chunked.end(), {"--chunk", chunk});
    EXPECT_EQ(output(chunked), output(whole)) << chunk;
  }
}

TEST(Logits, Errors) {
  expect_error(glimmer({"logits", "-m", model()}), 2, "no ids");
  expect_error(glimmer({"logits", "-m", model(), "--ids", "1,999"}), 2, "999");
  expect_error(glimmer({"logits", "-m", model(), "--ids", "1,x"}), 2, "'x'");
  expect_error(glimmer({"logits", "-m", model(), "--ids", "1", "--chunk", "-1"}), 2, "--chunk");
  std::string many = "1";
  for (int i = 0; i < 128; ++i) many += ",1";
  expect_error(glimmer({"logits", "-m", model(), "--ids", many}), 1, "max_position_embeddings");
}

TEST(Compare, ATraceWithItselfAndWithAnother) {
  const TempDir dir;
  const std::string a = (dir.path() / "a.safetensors").string();
  const std::string b = (dir.path() / "b.safetensors").string();
  const std::string other = (dir.path() / "other.safetensors").string();
  const auto trace = [&](const std::string& ids, const std::string& file, const std::string& chunk) {
    output({"logits", "-q", "-m", fixture("glm4_moe_lite_base"), "--ids", ids, "--chunk", chunk, "--trace", file});
  };
  trace("5,6,7,8", a, "4");
  trace("5,6,7,8", b, "1");
  trace("5,6,9,8", other, "4");
  EXPECT_THAT(output({"compare", a, b, "--tolerance", "1e-5"}), HasSubstr(" 0 diverge"));
  const Result result = glimmer({"compare", a, other, "-v"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("first to diverge: embed_tokens F32 [4, 32]: max abs error"));
  EXPECT_THAT(result.out, HasSubstr("DIVERGES logits"));
}

TEST(Compare, GoldenIntermediates) {
  const std::string folder = fixture("glm4_moe_lite_base");
  const SafetensorsFile golden(folder + "/golden.safetensors");
  const TensorInfo* ids = golden.find("input_ids");
  ASSERT_NE(ids, nullptr);
  ASSERT_EQ(ids->dtype, DType::kI32);
  std::string list;
  Tensor copy;
  const auto* values = ids->view(copy).as<int32_t>();
  for (int64_t i = 0; i < ids->shape.element_count(); ++i) list += std::to_string(values[i]) + ",";
  const TempDir dir;
  const std::string trace = (dir.path() / "trace.safetensors").string();
  output({"logits", "-q", "-m", folder, "--ids", list, "--backend", "ref", "--trace", trace});
  EXPECT_THAT(output({"compare", folder + "/golden.safetensors", trace, "--subset"}), HasSubstr(" 0 diverge"));
  const Result strict = glimmer({"compare", folder + "/golden.safetensors", trace});
  EXPECT_EQ(strict.status, 1) << "the prompt is in one file only";
  EXPECT_THAT(strict.out, HasSubstr("only in"));
}

TEST(Compare, ShapesTypesAndNan) {
  const TempDir dir;
  const auto write = [&](const char* name, const NamedTensor& tensor) {
    write_safetensors(dir.path() / name, std::vector<NamedTensor>{tensor});
    return (dir.path() / name).string();
  };
  const std::array<float, 4> values = {1, -2, 4, 0};
  const std::array<uint16_t, 4> halves = {0x3F80, 0xC000, 0x4080, 0};
  const std::array<float, 4> odd = {1, -2, 4, NAN};
  const std::string a = write("a", {"x", {values.data(), DType::kF32, {2, 2}}});
  EXPECT_EQ(glimmer({"compare", a, write("b", {"x", {values.data(), DType::kF32, {1, 2, 2}}})}).status, 0);
  const std::string empty = write("empty", {"x", {values.data(), DType::kF32, {0, 2}}});
  EXPECT_EQ(glimmer({"compare", empty, empty}).status, 0);
  EXPECT_EQ(glimmer({"compare", a, write("c", {"x", {values.data(), DType::kF32, {4}}})}).status, 1);
  EXPECT_EQ(
      glimmer({"compare", a, write("d", {"x", {halves.data(), DType::kBF16, {2, 2}}}), "--tolerance", "0"}).status, 0);
  const Result nan = glimmer({"compare", a, write("e", {"x", {odd.data(), DType::kF32, {2, 2}}})});
  EXPECT_EQ(nan.status, 1);
  EXPECT_THAT(nan.out, HasSubstr("at [1, 1]: 0 and nan"));
  EXPECT_EQ(glimmer({"compare", a, write("f", {"y", {values.data(), DType::kF32, {4}}}), "--subset"}).status, 1);
  expect_error(glimmer({"compare", a}), 2, "two files");
  expect_error(glimmer({"compare", a, dir.write("bad", "12345").string()}), 1, "bad");
}

}  // namespace
}  // namespace glimmer::testing
