/* SPDX-License-Identifier: MIT */
/*
 * Going on where a fault was, without rt_sigreturn(2).
 *
 * That call is a fifth of a whole fault by signal: it enters the kernel only to
 * have registers loaded that lie in the signal frame, where we can load them
 * from as well. What else it would do must then be nothing:
 *
 *   signal mask    our handler is installed so that it does not change
 *   signal stack   stays as it is, unless it was to be re-armed: not then
 *   shadow stack   would have to be unwound: not where there is one
 *   a caller       only the kernel itself may have called the handler. One that
 *                  another handler calls, or a sanitizer's, returns to it
 *
 * In all these cases, without XSAVE, and on other processors than x86-64, the
 * handler returns the usual way.
 */
#include <string.h>
#include <ucontext.h>

#include "engine.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACK_IS_WATCHED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define STACK_IS_WATCHED
#endif

#if defined(__x86_64__) && !defined(__ILP32__) && !defined(STACK_IS_WATCHED)

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

/* what the kernel writes into the part of the frame that is left to software */
#define SOFTWARE_AT 464
#define MAGIC_1 0x46505853u

struct software {
	uint32_t magic;
	uint32_t size;
	uint64_t features;	/* state components in the frame */
};

#define HEADER_AT 512		/* which of them are not in their first state */
#define PROTECTION_KEYS 9	/* component */

static uint64_t shadow_stack(void)
{
	uint64_t at = 0;

	__asm__ volatile("rdsspq %0" : "+r"(at)); /* does nothing if none */
	return at;
}

static uint16_t code_segment(void)
{
	uint16_t cs;

	__asm__ volatile("movw %%cs, %0" : "=r"(cs));
	return cs;
}

static uint32_t current_keys(void)
{
	uint32_t keys, zero;

	__asm__ volatile("rdpkru" : "=a"(keys), "=d"(zero) : "c"(0));
	return keys;
}

struct cpuid {
	uint32_t a, b, c, d;
};

static struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid r = { .a = leaf, .c = sub };

	__asm__ volatile("cpuid" : "+a"(r.a), "=b"(r.b), "+c"(r.c), "=d"(r.d));
	return r;
}

/* Does the system save and load extended state (XSAVE)? */
#define OSXSAVE (1u << 27)

/* Where in a frame the protection keys are, 0: nowhere; or RESUME_NEVER. Once,
 * since cpuid is slow. */
uint32_t resume_prepare(void)
{
	const uint32_t frames = 13;
	struct cpuid keys;

	if (cpuid(0, 0).a < frames || !(cpuid(1, 0).c & OSXSAVE))
		return RESUME_NEVER;
	keys = cpuid(frames, PROTECTION_KEYS);
	return keys.a ? keys.b : 0;
}

/* The rights to memory that the thread had are ours as well: otherwise this
 * stack might be out of reach before the last register is loaded. */
static bool same_keys(const uint8_t *fpu, uint64_t features, uint32_t keys_at)
{
	const uint64_t bit = UINT64_C(1) << PROTECTION_KEYS;
	uint64_t present;
	uint32_t keys = 0;

	if (!(features & bit))
		return true;
	if (!keys_at)
		return false;
	memcpy(&present, fpu + HEADER_AT, sizeof(present));
	if (present & bit)
		memcpy(&keys, fpu + keys_at, sizeof(keys));
	return keys == current_keys();
}

/* Load everything: the extended state, the general registers, and with iretq,
 * in one step, flags, stack and place. */
__attribute__((noreturn)) static void load(const greg_t *regs,
					   const uint8_t *fpu,
					   uint64_t features)
{
	__asm__ volatile(
		"xrstor64 (%%rcx)\n\t"
		"movl %%ss, %%eax\n\t"
		"pushq %%rax\n\t"
		"pushq 15*8(%%rdi)\n\t"		/* rsp */
		"pushq 17*8(%%rdi)\n\t"		/* flags */
		"movl %%cs, %%eax\n\t"
		"pushq %%rax\n\t"
		"pushq 16*8(%%rdi)\n\t"		/* rip */
		"movq 0*8(%%rdi), %%r8\n\t"
		"movq 1*8(%%rdi), %%r9\n\t"
		"movq 2*8(%%rdi), %%r10\n\t"
		"movq 3*8(%%rdi), %%r11\n\t"
		"movq 4*8(%%rdi), %%r12\n\t"
		"movq 5*8(%%rdi), %%r13\n\t"
		"movq 6*8(%%rdi), %%r14\n\t"
		"movq 7*8(%%rdi), %%r15\n\t"
		"movq 9*8(%%rdi), %%rsi\n\t"
		"movq 10*8(%%rdi), %%rbp\n\t"
		"movq 11*8(%%rdi), %%rbx\n\t"
		"movq 12*8(%%rdi), %%rdx\n\t"
		"movq 13*8(%%rdi), %%rax\n\t"
		"movq 14*8(%%rdi), %%rcx\n\t"
		"movq 8*8(%%rdi), %%rdi\n\t"
		"iretq"
		:
		: "D"(regs), "c"(fpu), "a"((uint32_t)features),
		  "d"((uint32_t)(features >> 32))
		: "memory");
	__builtin_unreachable();
}

void resume(const void *frame, const void *ucontext, uint32_t keys_at)
{
	const ucontext_t *uc = ucontext;
	const greg_t *regs = uc->uc_mcontext.gregs;
	const uint8_t *fpu = (const uint8_t *)uc->uc_mcontext.fpregs;
	struct software sw;

	/* the kernel puts the context right behind the return address, which
	 * is above the frame pointer */
	if (keys_at == RESUME_NEVER ||
	    (const uint8_t *)frame + 16 != (const uint8_t *)ucontext || !fpu)
		return;
	memcpy(&sw, fpu + SOFTWARE_AT, sizeof(sw));
	if (sw.magic != MAGIC_1 ||
	    (uint16_t)regs[REG_CSGSFS] != code_segment() ||
	    ((unsigned)uc->uc_stack.ss_flags & SS_AUTODISARM) ||
	    shadow_stack() || !same_keys(fpu, sw.features, keys_at))
		return;
	load(regs, fpu, sw.features);
}

#else

uint32_t resume_prepare(void)
{
	return RESUME_NEVER;
}

void resume(const void *frame, const void *ucontext, uint32_t keys_at)
{
	(void)frame;
	(void)ucontext;
	(void)keys_at;
}

#endif
