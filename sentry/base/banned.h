/* Functions that are easy to get wrong do not compile here (force-included by CMake). */
#ifndef FB_BASE_BANNED_H
#define FB_BASE_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef alloca
#undef strcpy
#undef strcat
#undef strncpy
#undef sprintf
#undef vsprintf
#undef strtok
#undef atoi
#undef atol
#define alloca(n) banned_function_alloca
#define strcpy(d, s) banned_function_strcpy
#define strcat(d, s) banned_function_strcat
#define strncpy(d, s, n) banned_function_strncpy
#define sprintf(...) banned_function_sprintf
#define vsprintf(...) banned_function_vsprintf
#define strtok(s, d) banned_function_strtok
#define atoi(s) banned_function_atoi
#define atol(s) banned_function_atol

#endif
