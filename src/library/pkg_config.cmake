# Writes ${pkg_config_file}, which finds the prefix from its own place, since an installed tree may be moved. Debian's library folder is
# two deep.
file(RELATIVE_PATH prefix_from_pkgconfig ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" prefix_from_pkgconfig "${prefix_from_pkgconfig}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/glimmer.pc.in ${pkg_config_file} @ONLY)
