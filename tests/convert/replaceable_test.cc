// What --force may take the place of, and what it may not.
#include "convert/replaceable.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "convert/convert.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer::convert {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kFixture = testing::source_dir() / "tests/fixtures/glm4_moe_lite_base";

std::string refusal_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage) << error.what();
    return error.what();
  }
  return "";
}

class Replaceable : public ::testing::Test {
 protected:
  // A model that was downloaded.
  fs::path make_model(const std::string& name) {
    const fs::path folder = dir_.path() / name;
    fs::create_directory(folder);
    for (const char* file : {"config.json", "model.safetensors"}) fs::copy_file(kFixture / file, folder / file);
    return folder;
  }
  void write(const fs::path& path, const std::string& text = "precious") {
    fs::create_directories(path.parent_path());
    dir_.write(path.lexically_relative(dir_.path()).string(), text);
  }
  std::string convert(const fs::path& from, const fs::path& to, ConvertOptions options) {
    options.force = true;
    return refusal_of([&] {
      ThreadPool pool(1);
      Conversion(ModelSource::open(from), to, options).write(pool, {});
    });
  }
  std::string to_folder(const fs::path& from, const fs::path& to) {
    return convert(from, to, {.format = "hf", .recipe = {.type = "bf16"}});
  }

  const testing::TempDir dir_;
};

TEST_F(Replaceable, AFolderIsTakenOnlyIfItIsAModelAndNothingElse) {
  const fs::path folder = make_model("model");
  EXPECT_EQ(refusal_of([&] { check_folder_replaceable(folder); }), "");
  for (const char* name : {"README.md", "tokenizer.json", "model-00001-of-00002.safetensors", "modeling_glm.py",
                           "additional_chat_templates/tool_use.jinja"}) {
    write(folder / name);
  }
  EXPECT_EQ(refusal_of([&] { check_folder_replaceable(folder); }), "");
  for (const char* name : {"thesis.txt", ".git/HEAD", "optimizer.pt", "train.py", "src/main.py", "photos/1.jpg", ".env",
                           "additional_chat_templates/thesis.txt", "data.safetensors", "results.json"}) {
    write(folder / name);
    EXPECT_THAT(refusal_of([&] { check_folder_replaceable(folder); }), HasSubstr("no file of a model")) << name;
    fs::remove(folder / name);
    const fs::path parent = (folder / name).parent_path();
    if (parent != folder && fs::is_empty(parent)) fs::remove(parent);
  }
  fs::create_directory(folder / "empty");
  EXPECT_THAT(refusal_of([&] { check_folder_replaceable(folder); }), HasSubstr("no folder of a model"));
  fs::remove(folder / "empty");
  fs::create_symlink("/etc/hostname", folder / "vocab.json");
  EXPECT_THAT(refusal_of([&] { check_folder_replaceable(folder); }), HasSubstr("link"));
  fs::remove(folder / "vocab.json");
  fs::create_symlink(folder, dir_.path() / "link");
  EXPECT_THAT(refusal_of([&] { check_folder_replaceable(dir_.path() / "link"); }), HasSubstr("symbolic link"));
}

TEST_F(Replaceable, AnotherProgramsConfigMakesNoModel) {
  const fs::path project = dir_.path() / "project";
  write(project / "config.json", "{}");
  EXPECT_THAT(refusal_of([&] { check_folder_replaceable(project); }), HasSubstr("no model"));
  fs::copy_file(kFixture / "config.json", project / "config.json", fs::copy_options::overwrite_existing);
  EXPECT_THAT(refusal_of([&] { check_folder_replaceable(project); }), HasSubstr("without weights"));
  write(project / "config.json", "not JSON");
  write(project / "model.safetensors");
  EXPECT_THAT(refusal_of([&] { check_folder_replaceable(project); }), HasSubstr("no model"));
}

TEST_F(Replaceable, WhatAConversionWroteIsTakenUntilSomethingIsAdded) {
  const fs::path source = make_model("source");
  write(source / "notes.txt", "of the model");  // goes along, as side files do
  const fs::path out = dir_.path() / "out";
  EXPECT_EQ(to_folder(source, out), "");
  EXPECT_TRUE(fs::exists(out / "notes.txt"));
  EXPECT_EQ(to_folder(source, out), "");
  write(out / "README.md");
  EXPECT_THAT(to_folder(source, out), HasSubstr("README.md"));
  EXPECT_EQ(read_file(out / "README.md"), "precious");
  EXPECT_FALSE(fs::exists(dir_.path() / "out.partial"));
}

TEST_F(Replaceable, AFileIsTakenOnlyIfItBeginsAsAModel) {
  const auto refused = [&](const char* name, const std::string& text) {
    return refusal_of([&] { check_file_replaceable(dir_.write(name, text)); });
  };
  EXPECT_EQ(refused("a.gguf", "GGUF and more"), "");
  EXPECT_EQ(refused("a.m", std::string("\xCD\xAB\x00\x0A and more", 13)), "");
  EXPECT_EQ(refused("a.t", std::string("\x24\x71\x56\x00 and more", 13)), "");
  EXPECT_EQ(refused("a.gguf", ""), "");
  EXPECT_THAT(refused("a.gguf", "GGU"), HasSubstr("not replaced"));
  EXPECT_THAT(refused("a.gguf", "my thesis"), HasSubstr("not replaced"));
  EXPECT_THAT(refused("a.m", "function y = f(x)"), HasSubstr("not replaced"));  // MATLAB's, too
  EXPECT_THAT(refused("a.t", "#!/usr/bin/perl"), HasSubstr("not replaced"));
  fs::create_symlink(dir_.path() / "a.gguf", dir_.path() / "link.gguf");
  EXPECT_THAT(refusal_of([&] { check_file_replaceable(dir_.path() / "link.gguf"); }), HasSubstr("symbolic link"));
  ::mkfifo((dir_.path() / "pipe.gguf").c_str(), 0600);
  EXPECT_THAT(refusal_of([&] { check_file_replaceable(dir_.path() / "pipe.gguf"); }), HasSubstr("special file"));
}

TEST_F(Replaceable, TheSourceIsNeverTheDestinationHoweverItIsSpelt) {
  const fs::path source = make_model("model");
  const std::string weights = read_file(source / "model.safetensors");
  fs::create_symlink(source, dir_.path() / "link");
  fs::create_directory(dir_.path() / "sub");
  for (const fs::path& from : {source, source / "", source / "model.safetensors", dir_.path() / "link"}) {
    for (const fs::path& to : {source, source / "", dir_.path() / "sub/../model", dir_.path() / "link"}) {
      EXPECT_THAT(to_folder(from, to),
                  ::testing::AnyOf(HasSubstr("is the source itself"), HasSubstr("holds the source")))
          << from << " " << to;
    }
  }
  fs::create_directory(source / "inner");
  EXPECT_THAT(to_folder(source, dir_.path()), HasSubstr("holds the source"));
  EXPECT_THAT(to_folder(source, source / "inner"), HasSubstr("within the source"));
  fs::remove(source / "inner");
  EXPECT_EQ(read_file(source / "model.safetensors"), weights);

  const fs::path file = dir_.path() / "m.gguf";
  EXPECT_EQ(convert(source, file, {.recipe = {.type = "q8_0"}}), "");
  const std::string bytes = read_file(file);
  fs::create_hard_link(file, dir_.path() / "hard.gguf");
  fs::create_symlink(file, dir_.path() / "soft.gguf");
  for (const char* name : {"m.gguf", "sub/../m.gguf", "hard.gguf", "soft.gguf"}) {
    EXPECT_THAT(convert(file, dir_.path() / name, {.recipe = {.type = "f16"}}), HasSubstr("is the source itself"))
        << name;
  }
  EXPECT_EQ(read_file(file), bytes);
}

TEST_F(Replaceable, TemporaryNamesOfOthersAreLeftAlone) {
  const fs::path source = make_model("model");
  const auto expect_refused = [&](const fs::path& to, const std::string& name, const ConvertOptions& options) {
    write(dir_.path() / name);
    EXPECT_THAT(convert(source, to, options), HasSubstr("move it away")) << name;
    EXPECT_EQ(read_file(dir_.path() / name), "precious") << name;
    EXPECT_FALSE(fs::exists(to));
    fs::remove(dir_.path() / name);
  };
  const ConvertOptions folder{.format = "hf", .recipe = {.type = "bf16"}};
  expect_refused(dir_.path() / "out", "out.partial/thesis.txt", folder);
  fs::remove(dir_.path() / "out.partial");
  expect_refused(dir_.path() / "out", "out.partial", folder);
  expect_refused(dir_.path() / "out", "out.partial.journal", folder);
  expect_refused(dir_.path() / "d.gguf", "d.gguf.partial", {.recipe = {.type = "q8_0"}});
}

TEST_F(Replaceable, AmongWhatAnInterruptedRunLeftOthersFilesStay) {
  const fs::path source = make_model("model");
  const ConvertOptions options{.format = "hf", .recipe = {.type = "bf16"}, .force = true};
  ThreadPool pool(1);
  const fs::path out = dir_.path() / "out";
  EXPECT_THROW(Conversion(ModelSource::open(source), out, options)
                   .write(pool, [](const ConvertProgress&) { fail(ErrorCode::kCancelled, "stop"); }),
               Error);
  write(dir_.path() / "out.partial/thesis.txt");
  EXPECT_THAT(to_folder(source, out), HasSubstr("thesis.txt"));
  EXPECT_EQ(read_file(dir_.path() / "out.partial/thesis.txt"), "precious");
  EXPECT_TRUE(fs::exists(dir_.path() / "out.partial/model.safetensors"));
  fs::remove(dir_.path() / "out.partial/thesis.txt");
  EXPECT_EQ(to_folder(source, out), "");
}

}  // namespace
}  // namespace glimmer::convert
