# sonde_floor(NAME): every .c file of src/NAME as an object library `sonde_NAME`.
# sonde_program(TARGET FLOOR... SOURCES file...): an executable over the floors named.

add_library(sonde_flags INTERFACE)
target_compile_options(sonde_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wwrite-strings -Wundef
    -fopenmp-simd)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    # A loop that was not vectorized as asked is slower, not wrong.
    target_compile_options(sonde_flags INTERFACE -Wno-pass-failed)
endif()
if(SONDE_WERROR)
    target_compile_options(sonde_flags INTERFACE -Werror)
endif()
if(SONDE_SANITIZE)
    target_compile_options(sonde_flags INTERFACE -fsanitize=${SONDE_SANITIZE}
        -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(sonde_flags INTERFACE -fsanitize=${SONDE_SANITIZE})
    target_compile_definitions(sonde_flags INTERFACE SONDE_SANITIZED=1)
endif()
target_compile_definitions(sonde_flags INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE
    SONDE_VERSION_TEXT="${PROJECT_VERSION}")
target_include_directories(sonde_flags INTERFACE ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_SOURCE_DIR}/src)

function(sonde_dependencies target floor)
    target_link_libraries(${target} PRIVATE sonde_flags)
    if(NOT floor STREQUAL "base")
        target_link_libraries(${target} PRIVATE sonde_dependencies_num)
    endif()
    if(TARGET sonde_dependencies_${floor})
        target_link_libraries(${target} PRIVATE sonde_dependencies_${floor})
    endif()
endfunction()

function(sonde_floor floor)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${floor}/*.c)
    add_library(sonde_${floor} OBJECT ${sources})
    sonde_dependencies(sonde_${floor} ${floor})
    target_include_directories(sonde_${floor} SYSTEM PRIVATE ${SONDE_RANDOM123_INCLUDE})
    # One OpenMP runtime in a process: gcc's, which oneDNN and OpenBLAS use.
    if(floor STREQUAL "net" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        target_compile_options(sonde_net PRIVATE -fopenmp)
    endif()
endfunction()

set(SONDE_FLOORS base num file net signal rule model measure run report cli)

# All floors up to and including the one named.
function(sonde_floors_up_to floor result)
    set(list "")
    foreach(each IN LISTS SONDE_FLOORS)
        list(APPEND list ${each})
        if(each STREQUAL floor)
            break()
        endif()
    endforeach()
    if(floor STREQUAL "signal" OR floor STREQUAL "rule")
        list(REMOVE_ITEM list file net) # methods know neither files nor oneDNN
    elseif(floor STREQUAL "model")
        list(REMOVE_ITEM list net)
    elseif(floor STREQUAL "measure")
        list(REMOVE_ITEM list file model) # networks, but no files
    elseif(floor STREQUAL "net")
        list(REMOVE_ITEM list file)
    endif()
    set(${result} ${list} PARENT_SCOPE)
endfunction()

function(sonde_program target floor)
    add_executable(${target} ${ARGN})
    sonde_floors_up_to(${floor} floors)
    foreach(each IN LISTS floors)
        target_link_libraries(${target} PRIVATE sonde_${each})
        sonde_dependencies(${target} ${each})
    endforeach()
endfunction()
