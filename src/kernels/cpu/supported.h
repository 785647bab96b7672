// Whether this processor may enter a file of this folder. Defined outside those files, in baseline code.
#pragma once

namespace glimmer::kernels {

bool cpu_has_avx2();
bool cpu_has_avx512();

}  // namespace glimmer::kernels
