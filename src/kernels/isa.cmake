# One file an instruction set: only these may use more than the baseline, and they are entered only after cpu_features()
# said that the processor has it.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  # g++ 12 warns of its own AVX-512 headers: "__Y is used uninitialized".
  set(quiet -Wno-uninitialized $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cpu/cpu_avx2.cc TARGET_DIRECTORY glimmer_kernels
                              PROPERTIES COMPILE_OPTIONS "-march=x86-64-v3;${quiet}")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cpu/linear_int8_avx2.cc TARGET_DIRECTORY glimmer_kernels
                              PROPERTIES COMPILE_OPTIONS "-march=x86-64-v3;${quiet}")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cpu/linear_int8_avx_vnni.cc TARGET_DIRECTORY
                              glimmer_kernels PROPERTIES COMPILE_OPTIONS "-march=x86-64-v3;-mavxvnni;${quiet}")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cpu/cpu_avx512.cc TARGET_DIRECTORY glimmer_kernels
                              PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;${quiet}")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cpu/linear_int8_avx512.cc TARGET_DIRECTORY
                              glimmer_kernels PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;-mavx512vnni;${quiet}")
  set_source_files_properties(
    ${CMAKE_SOURCE_DIR}/src/kernels/cpu/attention_avx512_bf16.cc TARGET_DIRECTORY glimmer_kernels
    PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;-mavx512bf16;${quiet}")
  set_source_files_properties(
    ${CMAKE_SOURCE_DIR}/src/kernels/cpu/linear_amx.cc TARGET_DIRECTORY glimmer_kernels
    PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;-mavx512vnni;-mamx-tile;-mamx-int8;-mamx-bf16;${quiet}")
  set_source_files_properties(
    ${CMAKE_SOURCE_DIR}/src/kernels/cpu/attention_amx.cc TARGET_DIRECTORY glimmer_kernels
    PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;-mavx512bf16;-mamx-tile;-mamx-bf16;${quiet}")
  # What kernels/ceilings.h measures with.
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cpu/cpu_ceilings_avx2.cc TARGET_DIRECTORY glimmer_kernels
                              PROPERTIES COMPILE_OPTIONS "-march=x86-64-v3;${quiet}")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cpu/cpu_ceilings_avx512.cc TARGET_DIRECTORY
                              glimmer_kernels PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;${quiet}")
  set_source_files_properties(
    ${CMAKE_SOURCE_DIR}/src/kernels/cpu/cpu_ceilings_amx.cc TARGET_DIRECTORY glimmer_kernels
    PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;-mamx-tile;-mamx-int8;-mamx-bf16;${quiet}")
  # Clang 14 takes minutes a file for the sanitizers' checks in unrolled loops, and no fuzz target multiplies.
  if(GLIMMER_FUZZ)
    file(GLOB isa_sources ${CMAKE_SOURCE_DIR}/src/kernels/cpu/*.cc)
    set_property(SOURCE ${isa_sources} TARGET_DIRECTORY glimmer_kernels APPEND PROPERTY COMPILE_OPTIONS
                                                                                        "-fno-sanitize=all")
  endif()
endif()
