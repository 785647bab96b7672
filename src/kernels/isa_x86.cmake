# The instructions that each file may use beyond the baseline. It is entered only after cpu_features() said that the
# processor has them.
function(instructions)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILES;FLAGS")
  list(TRANSFORM arg_FILES PREPEND ${CMAKE_SOURCE_DIR}/src/kernels/cpu/x86/)
  # g++ 12 warns of its own AVX-512 headers: "__Y is used uninitialized".
  set(quiet -Wno-uninitialized $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  # Clang 14 takes minutes a file for the sanitizers' checks in unrolled loops, and no fuzz target multiplies.
  if(GLIMMER_FUZZ)
    list(APPEND quiet -fno-sanitize=all)
  endif()
  set_source_files_properties(${arg_FILES} TARGET_DIRECTORY glimmer_kernels PROPERTIES COMPILE_OPTIONS
                                                                                       "${arg_FLAGS};${quiet}")
endfunction()

instructions(FILES cpu_avx2.cc linear_int8_avx2.cc cpu_ceilings_avx2.cc FLAGS -march=x86-64-v3)
instructions(FILES linear_int8_avx_vnni.cc FLAGS -march=x86-64-v3 -mavxvnni)
instructions(FILES cpu_avx512.cc cpu_ceilings_avx512.cc FLAGS -march=x86-64-v4)
instructions(FILES linear_int8_avx512.cc FLAGS -march=x86-64-v4 -mavx512vnni)
instructions(FILES attention_avx512_bf16.cc FLAGS -march=x86-64-v4 -mavx512bf16)
instructions(FILES linear_amx.cc FLAGS -march=x86-64-v4 -mavx512vnni -mamx-tile -mamx-int8 -mamx-bf16)
instructions(FILES attention_amx.cc FLAGS -march=x86-64-v4 -mavx512bf16 -mamx-tile -mamx-bf16)
instructions(FILES cpu_ceilings_amx.cc FLAGS -march=x86-64-v4 -mamx-tile -mamx-int8 -mamx-bf16)
