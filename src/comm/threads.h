// Ranks as threads of one process: for tests, and for runs without a network.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/group.h"

namespace glimmer::comm {

// Groups of ranks 0 .. size - 1, one for each thread. A call that waits longer than `patience` for the others fails
// the group, naming who is missing. Whether with or without it, ranks of a group that wait for each other, or for one
// whose group is gone, get an error at once. A group that an exception destroys fails; one of split() leaves that to
// the group it was split from.
std::vector<std::unique_ptr<Group>> make_thread_groups(
    int size, std::optional<std::chrono::milliseconds> patience = std::nullopt);

// Runs `rank` on `size` threads with a group each, and rethrows the error of the rank that failed first. A rank
// that returns while others wait for it makes them fail.
void run_ranks(int size, const std::function<void(Group&)>& rank);

}  // namespace glimmer::comm
