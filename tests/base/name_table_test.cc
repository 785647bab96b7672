#include "base/name_table.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace glimmer {
namespace {

struct Row {
  std::string_view name;
  int value = 0;
};

constexpr Row kArray[] = {{"left", 1}, {"right", 2}};
constexpr std::array<Row, 4> kRows = {{{"one", 1}, {"", 2}, {"three", 3}, {"one", 4}}};

TEST(NameTable, FindsTheFirstOfAName) {
  ASSERT_NE(find_named(kRows, "one", &Row::name), nullptr);
  EXPECT_EQ(find_named(kRows, "one", &Row::name)->value, 1);
  EXPECT_EQ(find_named(kRows, "three", &Row::name)->value, 3);
  EXPECT_EQ(find_named(kRows, "on", &Row::name), nullptr);
  EXPECT_EQ(find_named(kRows, "One", &Row::name), nullptr);
}

TEST(NameTable, FindsInTablesOfPointers) {
  const std::vector<const Row*> rows = {&kRows[2], &kRows[0]};
  ASSERT_NE(find_named(rows, "one", &Row::name), nullptr);
  EXPECT_EQ(*find_named(rows, "one", &Row::name), &kRows[0]);
  EXPECT_EQ(list_names(rows, &Row::name), "three, one");
}

TEST(NameTable, ListsNamesInOrderAndLeavesOutTheNameless) {
  EXPECT_EQ(list_names(kRows, &Row::name), "one, three, one");
  EXPECT_EQ(list_names(kRows, [](const Row& row) { return row.value > 2 ? row.name : ""; }), "three, one");
  EXPECT_EQ(list_names(std::vector<Row>{}, &Row::name), "");
}

TEST(NameTable, TakesPlainArrays) {
  EXPECT_EQ(find_named(kArray, "right", &Row::name), &kArray[1]);
  EXPECT_EQ(list_names(kArray, &Row::name), "left, right");
}

}  // namespace
}  // namespace glimmer
