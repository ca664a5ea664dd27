/* The code that guests run, position independent: copied to the start of a lane. */
#ifndef FB_LANE_CODE_H
#define FB_LANE_CODE_H

/* Labels of it, in this order: what a thread that stops between two of them has done is told in lane_stop.c. */
extern const char lane_code[], lane_code_saved[], lane_code_published[], lane_code_withdrawn[], lane_code_plain[],
	lane_code_in[], lane_code_in_end[], lane_code_out[], lane_code_out_end[], lane_code_end[];
/* Two addresses between which a %gs base names a slot; filled in for each lane. */
extern const char lane_code_slots[];

#endif
