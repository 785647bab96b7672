// Whether this processor may enter a file of this folder. Defined outside those files, in baseline code.
#pragma once

namespace glimmer::kernels {

bool cpu_has_avx2();
bool cpu_has_avx512();
bool cpu_has_avx512_bf16();
bool cpu_has_amx();  // and this process may use tiles: asks the operating system for them the first time

}  // namespace glimmer::kernels
