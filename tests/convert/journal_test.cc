#include "convert/journal.h"

#include <gmock/gmock.h>

namespace glimmer::convert {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kHash(32, 'a');
const std::string kWhole =
    "glimmer-convert 2 f00d\nfile 123 model.safetensors\nfile 5 a%20b/c%0A.json\ncreated\nmatrix " + kHash +
    "\nmatrix " + kHash + "\ncommit 17 18\n";

TEST(Journal, IsReadAsItWasWritten) {
  const JournalContent content = parse_journal(kWhole);
  EXPECT_EQ(content.fingerprint, "f00d");
  ASSERT_THAT(content.files, SizeIs(2));
  EXPECT_EQ(content.files[0].name, "model.safetensors");
  EXPECT_EQ(content.files[0].size_bytes, 123U);
  EXPECT_EQ(content.files[1].name, "a b/c\n.json");
  EXPECT_TRUE(content.created);
  EXPECT_FALSE(content.aside);
  EXPECT_THAT(content.matrices, ElementsAre(kHash, kHash));
  EXPECT_THAT(content.committed_inodes, ElementsAre(17U, 18U));
  EXPECT_EQ(content.valid_bytes, kWhole.size());
}

TEST(Journal, CountsWholeLinesOnlyWhereverItIsCutOff) {
  for (size_t size = 0; size <= kWhole.size(); ++size) {
    const std::string text = kWhole.substr(0, size);
    const JournalContent content = parse_journal(text);
    const size_t end = text.rfind('\n');
    EXPECT_EQ(content.valid_bytes, end == std::string::npos ? 0 : end + 1) << size;
    // Whatever the end of the disk left behind it.
    for (const std::string& rest :
         {std::string(9, '\0'), std::string("\n"), std::string("9999\n"), "matrix " + kHash}) {
      EXPECT_LE(parse_journal(text.substr(0, content.valid_bytes) + rest).valid_bytes, content.valid_bytes) << size;
    }
  }
}

TEST(Journal, TakesNothingBehindALineThatCannotStandThere) {
  for (const std::string line : {"file x name", "file 5 ../thesis", "file 5 /etc/passwd", "file 5 a%2", "file 5 %00",
                                 "file -1 name", "matrix abc", "commit", "commit 1 x", "created later", "created"}) {
    const std::string text = "glimmer-convert 2 f00d\n" + line + "\nfile 1 a\ncreated\n";
    EXPECT_THAT(parse_journal(text).files, IsEmpty()) << line;
    EXPECT_FALSE(parse_journal(text).created) << line;
  }
  EXPECT_THAT(parse_journal("glimmer-convert 1 f00d\n5\n").fingerprint, IsEmpty());
  EXPECT_THAT(parse_journal("my diary\nfile 1 a\n").files, IsEmpty());
}

}  // namespace
}  // namespace glimmer::convert
