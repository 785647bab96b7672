// --kv-dir on disk: what is in the folder beside our files, and what becomes of files that are not what was written.
#include "engine/kv_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/mapped_file.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int64_t kPlenty = int64_t{1} << 30;

// Of pages of 3,072 bytes.
std::shared_ptr<KvPool> small_pool() {
  static const std::shared_ptr<KvPool> kPool = [] {
    ModelConfig config;
    config.attention = AttentionKind::kMla;
    config.num_hidden_layers = 1;
    config.kv_lora_rank = 8;
    config.qk_rope_head_dim = 4;
    return std::make_shared<KvPool>(config, KvType::kF32, 100);
  }();
  return kPool;
}

struct TestPage {
  std::vector<int32_t> tokens;
  KvPageRef ref = small_pool()->allocate();
  PageId page = *ref;

  explicit TestPage(int seed = 0) : tokens(KvPool::kPageTokens) {
    std::vector<std::byte> bytes(static_cast<size_t>(small_pool()->page_bytes()));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(seed));
    small_pool()->write(page, bytes);
    std::iota(tokens.begin(), tokens.end(), seed);
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> bytes(static_cast<size_t>(small_pool()->page_bytes()));
    small_pool()->read(page, bytes);
    return bytes;
  }
};

std::unique_ptr<KvStore> open_store(const fs::path& folder, int64_t max_bytes = kPlenty) {
  return std::make_unique<KvStore>(folder, max_bytes, small_pool(), "model");
}

class KvStoreTest : public ::testing::Test {
 protected:
  KvKey key_of(const KvStore& store, const TestPage& page) const {
    return store.child_key(store.root_key(""), page.tokens);
  }
  // Leaves one page, of TestPage(1), and returns its file.
  fs::path leave_page() {
    const auto store = open_store(folder_);
    store->write(key_of(*store, page_), page_.tokens, page_.page);
    EXPECT_EQ(store->written(), 1);
    return page_file();
  }
  fs::path page_file() const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() == ".kv") return entry.path();
    }
    return {};
  }
  // Whether a new process would use the page that was left.
  bool is_used() {
    const auto store = open_store(folder_);
    TestPage to(9);
    return store->read(key_of(*store, page_), page_.tokens, to.page) && to.bytes() == page_.bytes();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  testing::TempDir dir_;
  fs::path folder_ = dir_.path() / "kv";
  TestPage page_{1};
};

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

TEST_F(KvStoreTest, FolderKeyAndPagesAreForTheirOwnerAlone) {
  const mode_t before = ::umask(0);
  const fs::path page = leave_page();
  ::umask(before);
  EXPECT_EQ(mode_of(folder_), 0700U);
  EXPECT_EQ(mode_of(page), 0600U);
  EXPECT_EQ(mode_of(folder_ / "glimmer.key"), 0600U);
  EXPECT_EQ(names().size(), 2U);
  EXPECT_TRUE(is_used());
}

TEST_F(KvStoreTest, FilesOfOthersStay) {
  fs::create_directory(folder_);
  const std::string hex(32, 'a');
  std::vector<std::string> written = {"thesis.docx.part",
                                      "notes.kv",
                                      hex + ".kv",
                                      hex + ".kv.123.part",
                                      hex + ".kv.0123456789abcdef.part",
                                      "glimmer.key.0123456789abcdef.part",
                                      hex + ".kv.part",
                                      ".part"};
  for (const std::string& name : written) dir_.write("kv/" + name, "precious, and longer than a magic");
  {
    const auto store = open_store(folder_, 1);  // one byte: all that is ours must go
    store->write(key_of(*store, page_), page_.tokens, page_.page);
  }
  open_store(folder_, 1);
  for (const std::string& name : written) {
    EXPECT_EQ(read_file(folder_ / name), "precious, and longer than a magic") << name;
  }
}

TEST_F(KvStoreTest, WhatADeadWriterLeftGoesAndWhatALivingOneWritesStays) {
  const fs::path page = leave_page();
  const fs::path dead = page.string() + ".0123456789abcdef.part";
  const fs::path alive = page.string() + ".fedcba9876543210.part";
  const fs::path empty = page.string() + ".0000000000000001.part";
  fs::copy_file(page, dead);
  fs::copy_file(page, alive);
  std::ofstream(empty).close();
  const int fd = ::open(alive.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  EXPECT_TRUE(is_used());
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_FALSE(fs::exists(empty));
  EXPECT_TRUE(fs::exists(alive));
  ::close(fd);
}

TEST_F(KvStoreTest, APageThatIsNotWhatWasWrittenIsNotUsedAndGoes) {
  const std::string whole = read_file(leave_page());
  const fs::path file = page_file();
  const auto expect_refused = [&](const std::string& bytes, const std::string& what) {
    std::ofstream(file, std::ios::binary) << bytes;
    ::chmod(file.c_str(), 0600);
    EXPECT_FALSE(is_used()) << what;
    EXPECT_FALSE(fs::exists(file)) << what;
  };
  for (size_t at = 8; at < whole.size(); at += at < 120 ? 1 : 97) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    expect_refused(damaged, "byte " + std::to_string(at));
  }
  expect_refused("", "empty");
  for (const size_t size : {size_t{8}, size_t{71}, size_t{72}, whole.size() - 1}) {
    expect_refused(whole.substr(0, size), "cut to " + std::to_string(size));
  }
  expect_refused(whole + "x", "longer");
  std::string old = whole;
  old[7] = '1';
  expect_refused(old, "another version");
  std::ofstream(file, std::ios::binary) << whole;
  ::chmod(file.c_str(), 0600);
  EXPECT_TRUE(is_used());
}

TEST_F(KvStoreTest, APageUnderAnothersNameIsNotUsed) {
  const TestPage other(2);
  {
    const auto store = open_store(folder_);
    store->write(key_of(*store, other), other.tokens, other.page);
  }
  const fs::path others = page_file();
  fs::copy_file(others, dir_.path() / "copy");
  fs::remove(others);
  const fs::path file = leave_page();
  fs::copy_file(dir_.path() / "copy", file, fs::copy_options::overwrite_existing);
  EXPECT_FALSE(is_used());
}

TEST_F(KvStoreTest, PagesOfAnotherKeyAreNotUsed) {
  leave_page();
  fs::remove(folder_ / "glimmer.key");
  EXPECT_FALSE(is_used());
}

// What stands at a page's name while the store has it in its list.
TEST_F(KvStoreTest, LinksPipesFoldersAndOpenFilesInAPagesPlaceAreNeitherReadNorRemoved) {
  const fs::path victim = dir_.write("victim", "precious");
  const auto try_with = [&](const char* what, auto place, bool goes) {
    fs::remove_all(folder_);
    const fs::path file = leave_page();
    const auto store = open_store(folder_);
    place(file);
    TestPage to(9);
    const KvKey key = key_of(*store, page_);
    EXPECT_TRUE(store->contains(key)) << what;
    EXPECT_FALSE(store->read(key, page_.tokens, to.page)) << what;
    EXPECT_EQ(store->rejected(), 1) << what;
    EXPECT_EQ(fs::exists(fs::symlink_status(file)), !goes) << what;
    store->write(key, page_.tokens, page_.page);
    EXPECT_EQ(store->written(), goes ? 1 : 0) << what;
    EXPECT_EQ(read_file(victim), "precious") << what;
  };
  const auto swap = [](const fs::path& file) {
    const fs::path copy = file.string() + ".copy";
    fs::rename(file, copy);
    return copy;
  };
  try_with(
      "link", [&](const fs::path& file) { fs::create_symlink(swap(file), file); }, false);
  try_with(
      "link to nothing", [&](const fs::path& file) { swap(file), fs::create_symlink(dir_.path() / "new", file); },
      false);
  try_with(
      "pipe", [&](const fs::path& file) { swap(file), ::mkfifo(file.c_str(), 0600); }, false);
  try_with(
      "folder", [&](const fs::path& file) { swap(file), fs::create_directory(file); }, false);
  try_with(
      "second name", [&](const fs::path& file) { fs::create_hard_link(swap(file), file); }, false);
  try_with(
      "foreign", [&](const fs::path& file) { swap(file), std::ofstream(file) << std::string(4000, 'x'); }, false);
  try_with(
      "others may write", [&](const fs::path& file) { ::chmod(file.c_str(), 0620); }, true);
  EXPECT_FALSE(fs::exists(dir_.path() / "new"));
}

TEST_F(KvStoreTest, APageThatAnotherProcessRemovedIsNoFault) {
  const fs::path file = leave_page();
  const auto store = open_store(folder_);
  fs::remove(file);
  TestPage to(9);
  const KvKey key = key_of(*store, page_);
  EXPECT_FALSE(store->read(key, page_.tokens, to.page));
  EXPECT_EQ(store->rejected(), 0);
  EXPECT_FALSE(store->contains(key));
  store->write(key, page_.tokens, page_.page);
  EXPECT_TRUE(store->read(key, page_.tokens, to.page));
}

TEST_F(KvStoreTest, TwoStoresOnOneFolderShareKeyAndPages) {
  const auto first = open_store(folder_);
  const auto second = open_store(folder_);
  const KvKey key = key_of(*first, page_);
  EXPECT_EQ(key, key_of(*second, page_));
  first->write(key, page_.tokens, page_.page);
  second->write(key, page_.tokens, page_.page);
  TestPage to(9);
  EXPECT_TRUE(first->read(key, page_.tokens, to.page));
  EXPECT_TRUE(second->read(key, page_.tokens, to.page));
  EXPECT_EQ(names().size(), 2U);
}

// A key that others could know or have planted protects nothing: the server runs, and trusts nothing of the folder.
TEST_F(KvStoreTest, AKeyThatIsNotToBeTrustedIsNeitherUsedNorReplaced) {
  const fs::path key = folder_ / "glimmer.key";
  const auto expect_not_used = [&](const char* what) {
    EXPECT_FALSE(is_used()) << what;
    EXPECT_TRUE(fs::exists(fs::symlink_status(key))) << what;
    fs::remove_all(folder_);
    leave_page();
  };
  leave_page();
  ::chmod(key.c_str(), 0640);
  expect_not_used("readable by the group");
  fs::rename(key, dir_.path() / "moved");
  fs::create_symlink(dir_.path() / "moved", key);
  expect_not_used("link");
  fs::remove(key);
  ::mkfifo(key.c_str(), 0600);
  expect_not_used("pipe");
  std::ofstream(key) << "short";
  expect_not_used("cut short");
  std::ofstream(key) << std::string(40, 'k');
  expect_not_used("something else");
  EXPECT_TRUE(is_used());
}

TEST_F(KvStoreTest, NoRoomLeavesNothingBehindAndIsNoEnd) {
  const auto store = open_store(folder_);
  const auto ignore = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit little = {.rlim_cur = 1000, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &little);
  const KvKey key = key_of(*store, page_);
  store->write(key, page_.tokens, page_.page);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignore);
  EXPECT_FALSE(store->contains(key));
  EXPECT_THAT(names(), ElementsAre("glimmer.key"));
  fs::remove_all(folder_);
  store->write(key, page_.tokens, page_.page);
  EXPECT_EQ(store->written(), 0);
}

TEST_F(KvStoreTest, TheLeastRecentlyUsedGoFirst) {
  const int64_t file_bytes = kv_page_file_bytes(KvPool::kPageTokens, small_pool()->page_bytes());
  const auto store = open_store(folder_, 2 * file_bytes);
  std::vector<TestPage> pages;
  pages.reserve(3);
  for (int i = 0; i < 3; ++i) pages.emplace_back(i);
  TestPage to(9);
  for (const size_t i : {0U, 1U}) store->write(key_of(*store, pages[i]), pages[i].tokens, pages[i].page);
  EXPECT_TRUE(store->read(key_of(*store, pages[0]), pages[0].tokens, to.page));
  store->write(key_of(*store, pages[2]), pages[2].tokens, pages[2].page);
  EXPECT_TRUE(store->contains(key_of(*store, pages[0])));
  EXPECT_FALSE(store->contains(key_of(*store, pages[1])));
  EXPECT_EQ(names().size(), 3U);
}

TEST_F(KvStoreTest, AFolderThatCannotBeIsAnError) {
  dir_.write("file", "x");
  for (const fs::path& path : {dir_.path() / "file", dir_.path() / "file" / "below"}) {
    try {
      open_store(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
    }
  }
}

}  // namespace
}  // namespace glimmer
