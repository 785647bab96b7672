// A conversion that is killed at any system call that changes the disk, half-way through a write included, and is then
// resumed: what was there before stays whole until the new is, and the new is what an uninterrupted run gives.
#include <gmock/gmock.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>

#include "base/error.h"
#include "base/mapped_file.h"
#include "convert/convert.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace {

std::atomic<int> calls_left{-1};  // until the process is killed; below 0: never

// Writes at an offset are many, and one is like another: one in eight counts.
std::atomic<int> writes{0};

bool is_last_call() { return calls_left > 0 && --calls_left == 0; }
[[noreturn]] void end_process() { ::_exit(137); }
void count_call() {
  if (is_last_call()) end_process();
}

}  // namespace

// These take the place of the C library's in this program.
extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  const bool is_last = is_last_call();
  const auto done = static_cast<ssize_t>(::syscall(SYS_write, fd, data, is_last ? size / 2 : size));
  if (is_last) end_process();
  return done;
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const bool is_last = writes++ % 8 == 0 && is_last_call();
  const auto done = static_cast<ssize_t>(::syscall(SYS_pwrite64, fd, data, is_last ? size / 2 : size, offset));
  if (is_last) end_process();
  return done;
}

int fdatasync(int fd) {
  count_call();
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

int fsync(int fd) {
  count_call();
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

int ftruncate(int fd, off_t size) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}

int mkdir(const char* path, mode_t mode) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_mkdir, path, mode));
}

int rmdir(const char* path) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_rmdir, path));
}

int unlink(const char* path) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_unlink, path));
}

int rename(const char* from, const char* to) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_rename, from, to));
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

}  // extern "C"

namespace glimmer::convert {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;  // by name below a folder

Files files_of(const fs::path& folder) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

struct Case {
  fs::path source;
  std::string destination;
  ConvertOptions options;
};

void convert(const Case& c, const fs::path& folder, bool resume) {
  ConvertOptions options = c.options;
  options.resume = resume;
  options.batch_bytes = 60'000;
  ThreadPool pool(1);
  Conversion(ModelSource::open(c.source), folder / c.destination, options).write(pool, {});
}

// In a process of its own, that ends at the given call. Returns its exit status.
int convert_and_die(const Case& c, const fs::path& folder, int call) {
  const pid_t child = ::fork();
  if (child == 0) {
    calls_left = call;
    try {
      convert(c, folder, false);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// As a user would: on, or anew where nothing had begun.
void finish(const Case& c, const fs::path& folder) {
  try {
    convert(c, folder, true);
  } catch (const Error& error) {
    ASSERT_THAT(error.what(), ::testing::HasSubstr("nothing to resume"));
    ConvertOptions anew = c.options;
    if (c.options.force || !fs::exists(folder / c.destination)) convert({c.source, c.destination, anew}, folder, false);
  }
}

// `old`: what is there before and is to be replaced, made by another conversion; null: nothing is.
void kill_everywhere(const Case& c, const ConvertOptions* old) {
  const testing::TempDir whole;
  convert(c, whole.path(), false);
  const Files expected = files_of(whole.path());
  const testing::TempDir before;
  if (old != nullptr) convert({c.source, c.destination, *old}, before.path(), false);
  const Files previous = files_of(before.path());
  int calls = 1;
  for (;; ++calls) {
    const testing::TempDir dir;
    fs::copy(before.path(), dir.path(), fs::copy_options::recursive);
    const int status = convert_and_die(c, dir.path(), calls);
    if (status == 0) break;
    ASSERT_EQ(status, 137) << "call " << calls;
    // The destination is as it was, or as it should be; of several files each by itself.
    Files now = files_of(dir.path());
    for (const auto& [name, bytes] : previous) {
      const bool is_whole = now.contains(name) && (now[name] == bytes || now[name] == expected.at(name));
      ASSERT_TRUE(is_whole) << name << " after call " << calls;
    }
    finish(c, dir.path());
    ASSERT_EQ(files_of(dir.path()), expected) << "after call " << calls;
    if (calls % 7 != 0) continue;
    // Or begun anew.
    const testing::TempDir other;
    fs::copy(before.path(), other.path(), fs::copy_options::recursive);
    convert_and_die(c, other.path(), calls);
    Case anew = c;
    anew.options.force = true;
    convert(anew, other.path(), false);
    ASSERT_EQ(files_of(other.path()), expected) << "anew after call " << calls;
  }
  EXPECT_GT(calls, 30);  // not killed before it began
  if (c.destination.ends_with(".m")) {
    EXPECT_TRUE(expected.contains("m.t"));
  }
}

const fs::path kFolder = testing::source_dir() / "tests/fixtures/glm4_moe_lite_base";

TEST(Kill, AFileThatIsNew) { kill_everywhere({kFolder, "m.gguf", {.recipe = {.type = "f16"}}}, nullptr); }

TEST(Kill, AFolderThatIsNew) { kill_everywhere({kFolder, "m", {.format = "hf", .recipe = {.type = "f16"}}}, nullptr); }

TEST(Kill, TwoFilesThatReplaceOthers) {
  const testing::TempDir source;
  for (const char* name : {"config.json", "model.safetensors"}) fs::copy_file(kFolder / name, source.path() / name);
  fs::copy_file(testing::source_dir() / "tests/source/dllama/tokenizer.json", source.path() / "tokenizer.json");
  const ConvertOptions old{.recipe = {.type = "f32"}};
  kill_everywhere({source.path(), "m.m", {.recipe = {.type = "f16"}, .force = true}}, &old);
}

TEST(Kill, AFolderThatReplacesAnother) {
  const ConvertOptions old{.format = "hf", .recipe = {.type = "f32"}};
  kill_everywhere({kFolder, "m", {.format = "hf", .recipe = {.type = "bf16"}, .force = true}}, &old);
}

}  // namespace
}  // namespace glimmer::convert
