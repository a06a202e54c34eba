# What `cmake --install` puts where: the header, both libraries, the command, a CMake package
# (sonde::sonde and sonde::sonde_static), a pkg-config file, and the documents.
#
# Both package files find their own folder, so an installed tree can be moved.
include(CMakePackageConfigHelpers)

set(SONDE_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sonde)

install(FILES include/sonde.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS sonde_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
set_target_properties(sonde_shared PROPERTIES EXPORT_NAME sonde)
install(TARGETS sonde_shared sonde_static EXPORT sonde-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT sonde-targets NAMESPACE sonde:: DESTINATION ${SONDE_PACKAGE_DIR})

configure_package_config_file(cmake/sonde-config.cmake.in
    ${PROJECT_BINARY_DIR}/package/sonde-config.cmake INSTALL_DESTINATION ${SONDE_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/sonde-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/sonde-config.cmake
    ${PROJECT_BINARY_DIR}/package/sonde-config-version.cmake DESTINATION ${SONDE_PACKAGE_DIR})

# From the folder of sonde.pc back to the prefix.
file(RELATIVE_PATH SONDE_PC_TO_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cmake/sonde.pc.in ${PROJECT_BINARY_DIR}/package/sonde.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/sonde.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
