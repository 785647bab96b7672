// An allocator that can be told to find no memory: of this program's allocations, by threads that are not exempt, any
// number from any on. It stands in the place of malloc and, through it, of operator new; where a sanitizer is there
// already, of operator new only.
#pragma once

#include <cstdint>

namespace glimmer::testing {

// Counts from 0 from here on; allocations [first, first + count) fail.
void fail_allocations(int64_t first, int64_t count);
int64_t counted_allocations();  // since then; ends it

// This thread's allocations neither fail nor count.
void exempt_this_thread();

}  // namespace glimmer::testing
