# What other projects find of the library: headers, libglimmer.so, a CMake package and a pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS glimmer_shared EXPORT glimmer-targets LIBRARY COMPONENT library NAMELINK_COMPONENT library)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/glimmer DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Glimmer)
install(EXPORT glimmer-targets FILE GlimmerConfig.cmake NAMESPACE Glimmer:: DESTINATION ${package_folder}
        COMPONENT library)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/GlimmerConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/GlimmerConfigVersion.cmake DESTINATION ${package_folder} COMPONENT library)
set(pkg_config_file ${CMAKE_BINARY_DIR}/glimmer.pc)
include(library/pkg_config.cmake)
install(FILES ${pkg_config_file} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
