# Libraries of Debian 12. OpenBLAS must be the OpenMP build: it shares oneDNN's thread pool, and the
# alternatives system prefers the pthread build when both are installed, so it is named by path.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

set(SONDE_OPENBLAS_DIR "/usr/lib/${CMAKE_C_LIBRARY_ARCHITECTURE}/openblas-openmp" CACHE PATH
    "Folder of the OpenMP build of OpenBLAS")
find_library(SONDE_OPENBLAS openblas PATHS ${SONDE_OPENBLAS_DIR} NO_DEFAULT_PATH REQUIRED)
find_path(SONDE_CBLAS_INCLUDE cblas.h
    PATHS /usr/include/${CMAKE_C_LIBRARY_ARCHITECTURE}/openblas-openmp REQUIRED)
find_library(SONDE_GOMP NAMES gomp libgomp.so.1 REQUIRED
    HINTS /usr/lib/gcc/${CMAKE_C_LIBRARY_ARCHITECTURE}/12 /usr/lib/${CMAKE_C_LIBRARY_ARCHITECTURE})
get_filename_component(SONDE_GOMP_DIR ${SONDE_GOMP} DIRECTORY)
if(NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(SONDE_OMP_INCLUDE ${PROJECT_SOURCE_DIR}/cmake/clang)
endif()
find_path(SONDE_RANDOM123_INCLUDE Random123/philox.h REQUIRED)
find_library(SONDE_DNNL dnnl REQUIRED)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)

# Loaded from the OpenMP folder at run time as well.
set(CMAKE_BUILD_RPATH ${SONDE_OPENBLAS_DIR})
set(CMAKE_INSTALL_RPATH ${SONDE_OPENBLAS_DIR})

add_library(sonde_dependencies_base INTERFACE)
target_link_libraries(sonde_dependencies_base INTERFACE Threads::Threads m)
add_library(sonde_dependencies_num INTERFACE)
target_include_directories(sonde_dependencies_num SYSTEM INTERFACE
    ${SONDE_CBLAS_INCLUDE} ${SONDE_RANDOM123_INCLUDE} ${SONDE_OMP_INCLUDE})
target_link_libraries(sonde_dependencies_num INTERFACE
    ${SONDE_OPENBLAS} ${SONDE_GOMP} Threads::Threads m)
add_library(sonde_dependencies_file INTERFACE)
target_link_libraries(sonde_dependencies_file INTERFACE PkgConfig::ZLIB)
add_library(sonde_dependencies_net INTERFACE)
target_link_libraries(sonde_dependencies_net INTERFACE ${SONDE_DNNL})
add_library(sonde_dependencies_run INTERFACE)
target_link_libraries(sonde_dependencies_run INTERFACE PkgConfig::SQLITE PkgConfig::JANSSON)
